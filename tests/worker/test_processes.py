"""Workers killed, frozen and stopped: another one finishes the job, once."""

from __future__ import annotations

import os
import signal
import sqlite3
import time

import pytest

from app.registry import versions
from tests.worker.support import TOY_WORKER, descendants, is_alive, job_of, started, submit, wait_for

pytestmark = pytest.mark.slow


def running_child(worker):
    """The pid of the worker's child, once there is one."""
    return wait_for(lambda: list(descendants(worker.pid)))[0]


def freeze(services, *pids):
    """Stop the processes at a moment when none of them holds SQLite's one write lock: that would freeze all."""
    database = sqlite3.connect(services.settings.state_dir / "morrow.db", timeout=0.1, isolation_level=None)
    while True:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
        except sqlite3.OperationalError:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
        else:
            database.close()
            return


def count_versions(services):
    with services.database.read() as tx:
        return len(versions.locations(tx))


def test_the_job_of_a_killed_worker_is_finished_by_another(services):
    job_id = submit(services, seconds=3)
    with started(*TOY_WORKER, "first") as first:
        child = running_child(first)
        wait_for(lambda: job_of(services, job_id).progress)
        first.kill()
        wait_for(lambda: not is_alive(child))
    assert job_of(services, job_id).state == "running"
    with started(*TOY_WORKER, "second"):
        wait_for(lambda: job_of(services, job_id).is_over)
    job = job_of(services, job_id)
    assert (job.state, job.attempt) == ("succeeded", 2)
    assert count_versions(services) == 1


def test_a_frozen_worker_loses_its_job_and_writes_nothing_after_it_thaws(services):
    job_id = submit(services, seconds=3)
    with started(*TOY_WORKER, "frozen") as frozen:
        child = running_child(frozen)
        wait_for(lambda: job_of(services, job_id).progress)
        freeze(services, child, frozen.pid)
        with started(*TOY_WORKER, "second"):
            wait_for(lambda: job_of(services, job_id).is_over)
            ended = job_of(services, job_id)
            for pid in (child, frozen.pid):
                os.kill(pid, signal.SIGCONT)
            wait_for(lambda: not is_alive(child))
    assert (ended.state, ended.attempt) == ("succeeded", 2)
    assert job_of(services, job_id) == ended
    assert count_versions(services) == 1


def test_a_worker_that_is_asked_to_stop_hands_its_job_back_and_leaves_with_zero(services):
    job_id = submit(services, do="idle")
    with started(*TOY_WORKER, "leaving") as worker:
        child = running_child(worker)
        wait_for(lambda: job_of(services, job_id).progress)
        worker.terminate()
        assert worker.wait(timeout=30) == 0
        assert not is_alive(child)
    job = job_of(services, job_id)
    assert (job.state, job.attempt) == ("queued", 0)
    assert "Traceback" not in "".join(worker.said)
