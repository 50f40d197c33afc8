from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.worker.priority import NICENESS, SPARE_NICENESS, give_way
from app.worker.spare import Spare, job_process
from tests.worker.support import TOY_JOB, claim, submit

OWN = Path("/proc/self/autogroup")
WEIGHS_SESSIONS = OWN.exists() and bool(OWN.read_text().strip())


def weight(pid):
    """How nice the session of a process is."""
    return int(Path(f"/proc/{pid}/autogroup").read_text().split()[-1])


@pytest.fixture
def job(services):
    submit(services, do="idle")
    return claim(services)


def test_a_job_is_nicer_than_its_worker(job):
    with job_process([job], TOY_JOB) as child:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS


def test_where_sessions_are_weighed_first_that_of_a_job_weighs_less(job):
    if not WEIGHS_SESSIONS:
        pytest.skip("this kernel weighs no sessions")
    with job_process([job], TOY_JOB) as child:
        assert weight(child.pid) == NICENESS


def test_a_spare_process_weighs_least_until_it_has_a_job(job, born):
    if not WEIGHS_SESSIONS:
        pytest.skip("this kernel weighs no sessions")
    spare = Spare(TOY_JOB)
    spare.tend(wanted=True)
    (waiting,) = born()
    assert weight(waiting) == SPARE_NICENESS
    with job_process([job], TOY_JOB, spare) as child:
        assert (child.pid, weight(waiting)) == (waiting, NICENESS)


def test_a_process_that_is_gone_is_nothing_to_fail_for():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    give_way(process.pid)
