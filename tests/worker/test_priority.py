from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.jobs import queries
from app.worker.child import job_process
from app.worker.priority import NICENESS, give_way
from tests.worker.support import submit

SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def job(services):
    with services.database.read() as tx:
        return queries.get(tx, submit(services))


def test_a_job_is_nicer_than_its_worker(job):
    with job_process(job, SLEEPER) as child:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS


def test_where_sessions_are_weighed_first_that_of_a_job_weighs_less(job):
    own = Path("/proc/self/autogroup")
    if not own.exists() or not own.read_text().strip():
        pytest.skip("this kernel weighs no sessions")
    with job_process(job, SLEEPER) as child:
        assert Path(f"/proc/{child.pid}/autogroup").read_text().endswith(f"nice {NICENESS}\n")


def test_a_process_that_is_gone_is_nothing_to_fail_for():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    give_way(process.pid)
