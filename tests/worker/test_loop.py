"""The loop around the jobs: claims in turn, reports alive, outlives outages, leaves in order."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from app.jobs import fleet
from app.worker import store
from app.worker.loop import run_worker
from tests.worker.support import TOY_JOB, FlakyDatabase, job_of, submit, wait_for

pytestmark = pytest.mark.slow


@contextmanager
def working(services):
    stop = threading.Event()
    thread = threading.Thread(
        target=run_worker, args=(services,), kwargs={"worker_id": "w1", "stop": stop, "command": TOY_JOB}
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)
    assert not thread.is_alive()


def alive(services):
    with services.database.read() as tx:
        return [worker.worker_id for worker in fleet.alive(tx, now=services.clock(), within_seconds=60)]


def is_over(services, job_id):
    return job_of(services, job_id).is_over


def test_jobs_are_done_one_after_another(services):
    first, second = submit(services, ticker="A"), submit(services, ticker="B")
    with working(services):
        wait_for(lambda: is_over(services, first) and is_over(services, second))
    a, b = job_of(services, first), job_of(services, second)
    assert (a.state, b.state) == ("succeeded", "succeeded")
    assert a.finished_at <= b.started_at


def test_jobs_that_are_alike_are_claimed_together_and_share_a_process(services):
    ids = [submit(services, ticker=ticker, spec={"units": [8]}) for ticker in "ABC"]
    other = submit(services, ticker="D", spec={"units": [9]})
    with working(services):
        wait_for(lambda: all(is_over(services, job_id) for job_id in (*ids, other)))
    done = [job_of(services, job_id) for job_id in ids]
    assert [job.state for job in done] == ["succeeded"] * 3
    assert {job.started_at for job in done} == {done[0].started_at}
    assert job_of(services, other).started_at > max(job.finished_at for job in done)


def test_a_worker_leaves_a_part_of_the_queue_to_one_that_is_idle(services):
    ids = [submit(services, ticker=ticker, spec={"units": [8]}) for ticker in "ABCD"]
    with services.database.write() as tx:
        fleet.beat(tx, "idle", host="elsewhere", pid=1, now=services.clock() + timedelta(minutes=1))
    with working(services):
        wait_for(lambda: all(is_over(services, job_id) for job_id in ids))
    starts = Counter(job_of(services, job_id).started_at for job_id in ids)
    assert sorted(starts.values()) == [1, 1, 2]


def test_a_worker_is_on_the_list_while_it_works_and_off_it_afterwards(services):
    with working(services):
        assert wait_for(lambda: alive(services)) == ["w1"]
    assert alive(services) == []


def test_a_worker_outlives_an_outage_of_the_registry(services):
    job_id = submit(services)
    flaky = FlakyDatabase(services.database, outages=4)
    with working(replace(services, database=flaky)):
        wait_for(lambda: is_over(services, job_id))
    assert job_of(services, job_id).state == "succeeded"


class LookedAt:
    """The real store, and how often somebody asked it whether it takes something."""

    def __init__(self, artifacts):
        self._artifacts, self.looks = artifacts, 0

    def check_writable(self):
        self.looks += 1
        self._artifacts.check_writable()


def test_a_worker_whose_store_takes_nothing_spoils_no_second_job(services, monkeypatch):
    monkeypatch.setattr(store, "_LOOK_SECONDS", 0.6)  # more than it takes to look into the queue
    artifacts, models = LookedAt(services.artifacts), services.settings.models_dir
    models.write_text("no folder")
    first, second = submit(services, ticker="A"), submit(services, ticker="B")
    with working(replace(services, artifacts=artifacts)):
        wait_for(lambda: artifacts.looks >= 3)
        tried, waiting = job_of(services, first), job_of(services, second)
        assert (tried.state, tried.error["code"]) == ("queued", "store_unavailable")
        assert (tried.attempt, waiting.attempt) == (1, 0)
        models.unlink()
        wait_for(lambda: is_over(services, first) and is_over(services, second))
    jobs = [job_of(services, job_id) for job_id in (first, second)]
    assert [(job.state, job.attempt) for job in jobs] == [("succeeded", 2), ("succeeded", 1)]


def test_a_store_is_not_waited_for_after_a_job_that_did_not_want_for_one(services, monkeypatch):
    artifacts = LookedAt(services.artifacts)
    jobs = [submit(services, ticker=ticker, do=do) for ticker, do in (("A", "publish"), ("B", "refuse"))]
    with working(replace(services, artifacts=artifacts)):
        wait_for(lambda: all(is_over(services, job_id) for job_id in jobs))
    assert [job_of(services, job_id).state for job_id in jobs] == ["succeeded", "failed"]
    assert artifacts.looks == 0


def test_the_worker_itself_never_loads_tensorflow():
    program = "import sys, app.worker.loop, app.worker.supervisor; print('tensorflow' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
