"""A process kept ready while trainings wait; none is left when nothing does. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.jobs import queries
from app.worker.child import RUN_JOB
from app.worker.runner import run_in_child
from app.worker.spare import Spare, is_wanted
from tests.worker.support import (
    TOY_JOB,
    TOY_WORKER,
    claim,
    descendants,
    is_alive,
    job_of,
    started,
    submit,
    wait_for,
)

pytestmark = pytest.mark.slow


@contextmanager
def spare_of(command=TOY_JOB):
    spare = Spare(command)
    try:
        yield spare
    finally:
        spare.end()


def run(services, spare):
    job = claim(services)
    assert run_in_child(services, [job], stop=threading.Event(), command=TOY_JOB, spare=spare) == ["exited"]
    return job_of(services, job.job_id)


def test_the_next_training_runs_in_the_process_that_waited_for_it(services, born):
    submit(services)
    with spare_of() as spare:
        spare.tend(wanted=True)
        (waiting,) = born()
        seen = []
        beside = threading.Thread(target=lambda: seen.append(wait_for(lambda: pid_at_work(services))))
        beside.start()
        assert run(services, spare).state == "succeeded"
        beside.join()
        assert seen == [waiting]
        assert born() == []


def pid_at_work(services):
    with services.database.read() as tx:
        jobs = queries.list_jobs(tx, state="running", limit=1)
    return jobs and (jobs[0].progress or {}).get("pid")


def test_a_refresh_neither_wants_nor_takes_it(services, born):
    submit(services, kind="refresh")
    assert not is_wanted(services)
    submit(services, ticker="LATER")
    assert is_wanted(services)
    with spare_of() as spare:
        spare.tend(wanted=True)
        (waiting,) = born()
        assert run(services, spare).kind == "refresh"
        assert born() == [waiting]
        assert run(services, spare).kind == "train"
        assert born() == []
    assert not is_wanted(services)


def test_there_is_one_at_most_and_one_that_died_is_replaced_by_the_next_job_alone(services, born):
    submit(services)
    with spare_of() as spare:
        spare.tend(wanted=True)
        spare.tend(wanted=True)
        (waiting,) = born()
        os.kill(waiting, signal.SIGKILL)
        wait_for(lambda: not is_alive(waiting))
        spare.tend(wanted=True)
        assert born() == []
        job = run(services, spare)
        assert (job.state, job.attempt) == ("succeeded", 1)
        spare.tend(wanted=True)
        assert len(born()) == 1


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_it_when_its_worker_is_killed_or_stopped(services, end):
    running = submit(services, do="idle")
    with started(*TOY_WORKER, "w1") as worker:
        wait_for(lambda: job_of(services, running).progress)
        submit(services, ticker="LATER")
        both = wait_for(lambda: len(descendants(worker.pid)) == 2 and descendants(worker.pid))
        worker.send_signal(end)
        wait_for(lambda: not any(map(is_alive, both)))


@pytest.mark.tensorflow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has loaded")
def test_a_resting_service_holds_no_tensorflow(environment, monkeypatch, born):
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    with spare_of(RUN_JOB) as spare:
        spare.tend(wanted=True)
        (waiting,) = born()
        wait_for(lambda: "libtensorflow" in Path(f"/proc/{waiting}/maps").read_text(), seconds=120)
        spare.tend(wanted=False)
        assert born() == [waiting]
        monkeypatch.setattr("app.worker.spare.IDLE_SECONDS", 0.0)
        spare.tend(wanted=False)
        assert born() == []
        assert not is_alive(waiting)


LOAD = "import sys; from app.worker.run_job import main; print(main([])); print(*sys.modules)"


@pytest.mark.tensorflow
def test_it_loads_yahoo_s_client_before_tensorflow_and_leaves_when_nobody_has_a_job_for_it(environment):
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    command = [sys.executable, "-c", LOAD]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    code, loaded = said.splitlines()
    names = loaded.split()
    assert code == "0"
    assert names.index("curl_cffi") < names.index("tensorflow")
    assert "app.training.train" in names
