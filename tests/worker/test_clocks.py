"""Hosts whose clocks are wrong, on a registry with a clock of its own."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from app.bootstrap import open_services
from app.jobs import fleet, leases
from app.jobs.silence import Silence
from app.settings import Settings
from app.worker import upkeep
from app.worker.runner import run_in_child
from tests.db.databases import postgres_schema
from tests.worker.support import TOY_JOB, claim, job_of, submit

pytestmark = pytest.mark.postgres

OFF = (timedelta(hours=1), timedelta(hours=-1))


@pytest.fixture
def url(environment, monkeypatch):
    for one in postgres_schema():
        monkeypatch.setenv("MORROW_DATABASE_URL", one)
        yield one


@pytest.fixture
def services(url):
    opened = open_services(Settings())
    yield opened
    opened.database.close()


@pytest.fixture(params=OFF, ids=["fast", "slow"])
def off(request, url):
    """The services of a host whose clock is an hour off."""
    opened = open_services(Settings(), clock=lambda: datetime.now(UTC) + request.param)
    yield opened
    opened.database.close()


def claimed(services, *, owner):
    with services.database.write() as tx:
        seconds = services.settings.lease_seconds
        return leases.claim(tx, owner=owner, lease_seconds=seconds, now=services.now(tx))


def test_the_clock_that_all_go_by_is_that_of_the_database(services, off):
    with services.database.read() as tx, off.database.read() as other:
        first, second, third = services.now(tx), off.now(other), services.now(tx)
    assert first < second < third
    assert first.utcoffset() == timedelta(0)


def look_twice(services, *, worker_id):
    """Go two rounds of upkeep, so far apart that a lease which is over is believed to be."""
    at = iter((0.0, 60.0))
    silence = Silence(services.settings.lease_seconds, monotonic=lambda: next(at))
    for _ in range(2):
        upkeep.go_round(services, worker_id=worker_id, silence=silence)


def test_what_a_host_hands_in_may_run_at_once_on_another(services, off):
    job_id = submit(off)
    assert claimed(services, owner="other").job_id == job_id


def test_a_host_does_not_take_jobs_from_workers_that_live(services, off):
    job_id = submit(services)
    claimed(services, owner="worker")
    look_twice(off, worker_id="off")
    assert (job_of(services, job_id).state, job_of(services, job_id).fence) == ("running", 1)


def test_the_job_of_a_host_that_died_is_free_after_its_lease(services, off):
    job_id = submit(services)
    with off.database.write() as tx:
        leases.claim(tx, owner="off", lease_seconds=0, now=off.now(tx))
    look_twice(services, worker_id="other")
    assert job_of(services, job_id).state == "queued"


def test_a_host_counts_as_alive_for_others_and_others_for_it(services, off):
    look_twice(off, worker_id="off")
    look_twice(services, worker_id="right")
    for one in (services, off):
        with one.database.read() as tx:
            alive = fleet.alive(tx, now=one.now(tx), within_seconds=60)
        assert [worker.worker_id for worker in alive] == ["off", "right"]


@pytest.mark.slow
def test_a_host_keeps_its_job_to_the_end_while_another_keeps_house(services, off):
    job_id, done = submit(services, seconds=3.0), threading.Event()  # more than a lease
    seen = set()

    silence = Silence(services.settings.lease_seconds)

    def keep_house():
        while not done.wait(0.5):
            upkeep.go_round(services, worker_id="other", silence=silence)
            seen.add(job_of(services, job_id).state)

    beside = threading.Thread(target=keep_house)
    beside.start()
    try:
        assert run_in_child(off, [claim(off, owner="off")], stop=threading.Event(), command=TOY_JOB) == ["exited"]
    finally:
        done.set()
        beside.join()
    job = job_of(services, job_id)
    assert (job.state, job.attempt, job.fence) == ("succeeded", 1, 1)
    assert "queued" not in seen
    assert job.created_at < job.started_at < job.finished_at
