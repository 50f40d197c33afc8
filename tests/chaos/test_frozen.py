"""SIGSTOP: whoever sleeps longer than his lease comes back to nothing, and whoever lives keeps his job."""

from __future__ import annotations

import os
import signal
import time

import pytest

from app.jobs import retry
from app.registry import versions
from tests.chaos.entries.job import JOURNAL
from tests.worker.support import TOY_WORKER, is_alive, job_of, started, submit, wait_for
from tests.worker.test_processes import freeze, running_child

LEASE_SECONDS = 2


@pytest.fixture
def environment(environment, monkeypatch, tmp_path):
    monkeypatch.setenv("MORROW_LEASE_SECONDS", str(LEASE_SECONDS))
    monkeypatch.setenv(JOURNAL, str(tmp_path / "journal"))
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.05)


def published(services):
    with services.database.read() as tx:
        return len(versions.locations(tx))


@pytest.mark.parametrize("with_its_child", [True, False])
def test_a_worker_that_sleeps_beyond_its_lease_publishes_nothing_beside_the_other(services, with_its_child):
    job_id = submit(services, seconds=8)
    with started(*TOY_WORKER, "frozen") as frozen:
        child = running_child(frozen)
        wait_for(lambda: job_of(services, job_id).progress)
        stopped = (child, frozen.pid) if with_its_child else (frozen.pid,)
        freeze(services, *stopped)
        with started(*TOY_WORKER, "second"):
            wait_for(lambda: job_of(services, job_id).fence > 1)
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            wait_for(lambda: not is_alive(child))
            wait_for(lambda: job_of(services, job_id).is_over)
    job = job_of(services, job_id)
    assert (job.state, job.fence, job.attempt) == ("succeeded", 2, 2)
    assert published(services) == 1


def test_a_slow_child_keeps_its_job_for_as_long_as_its_worker_lives(services):
    job_id = submit(services, seconds=1)
    with started(*TOY_WORKER, "patient"), started(*TOY_WORKER, "idle"):
        wait_for(lambda: job_of(services, job_id).progress)
        child = job_of(services, job_id).progress["pid"]
        freeze(services, child)
        time.sleep(4 * LEASE_SECONDS)
        frozen = job_of(services, job_id)
        os.kill(child, signal.SIGCONT)
        wait_for(lambda: job_of(services, job_id).is_over)
    assert (frozen.state, frozen.fence) == ("running", 1)
    job = job_of(services, job_id)
    assert (job.state, job.fence, job.attempt) == ("succeeded", 1, 1)
    assert published(services) == 1


def test_the_time_limit_ends_a_job_whose_process_has_frozen(services):
    job_id = submit(services, seconds=60, timeout_seconds=4 * LEASE_SECONDS)
    with started(*TOY_WORKER, "patient") as patient:
        child = running_child(patient)
        freeze(services, child)
        with started(*TOY_WORKER, "idle"):
            wait_for(lambda: job_of(services, job_id).is_over)
            assert not is_alive(child)
    job = job_of(services, job_id)
    assert (job.state, job.error["code"]) == ("failed", "time_limit_exceeded")
    assert (job.fence, job.attempt) == (1, 1), "nobody took it over"
    assert published(services) == 0
