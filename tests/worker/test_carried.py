"""Workers that a broker tells of jobs: real ones, a Redis of the test's own, and whatever befalls either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from app.bootstrap import open_services
from app.jobs import fleet, leases
from app.jobs.delivery.by_celery import CeleryDelivery
from app.registry import versions
from app.settings import Settings
from app.worker.redelivery import redeliver
from tests.db.databases import database_url, migrated_file, migrated_schema
from tests.support.redis_server import PASSWORD, redis_server
from tests.worker import support
from tests.worker.support import descendants, is_alive, job_of, started, submit

__all__ = ["database_url", "migrated_file", "migrated_schema"]  # on SQLite and on PostgreSQL

pytest.importorskip("celery", reason="the extra `scale` is not installed")
kombu = pytest.importorskip("kombu")
Redis = pytest.importorskip("redis").Redis
pytestmark = [pytest.mark.slow, pytest.mark.redis]


@pytest.fixture
def redis(environment, monkeypatch):
    with redis_server() as server:
        monkeypatch.setenv("MORROW_BROKER_URL", server.url)
        yield server


@pytest.fixture
def services(redis, monkeypatch, database_url):
    monkeypatch.setenv("MORROW_DATABASE_URL", database_url)
    opened = open_services(Settings())
    yield opened
    opened.database.close()


# A busy machine gives little to what gives way to others.
wait_for = partial(support.wait_for, seconds=120)


def worker(name, *, seconds_fast=0.0):
    return started(sys.executable, "-m", "tests.worker.toys.carried_worker", name, str(seconds_fast))


def hand_in(services, **payload):
    """Submit a job and have it told of, as the API does."""
    job_id = submit(services, **payload)
    services.delivery.send([job_of(services, job_id)])
    return job_id


def words(services):
    return services.delivery.waiting()["train"]


def count_versions(services):
    with services.database.read() as tx:
        return len(versions.locations(tx))


def workers_alive(services):
    with services.database.read() as tx:
        return [one.worker_id for one in fleet.alive(tx, now=services.now(tx), within_seconds=60)]


def claims_of(job):
    """How often the job was claimed: handed back or not, each claim has a fence of its own."""
    return job.fence


def test_a_job_that_is_told_of_is_done_and_its_worker_counts_as_alive(services):
    with worker("only"):
        wait_for(lambda: workers_alive(services) == ["only"])
        job_id = hand_in(services)
        wait_for(lambda: job_of(services, job_id).is_over)
    assert (job_of(services, job_id).state, job_of(services, job_id).attempt) == ("succeeded", 1)
    assert count_versions(services) == 1


def test_a_job_is_done_once_however_often_it_is_told_of(services):
    job_id = submit(services, seconds=1.0)
    services.delivery.send([job_of(services, job_id)] * 7)
    wait_for(lambda: words(services) == 7)
    with worker("one"), worker("two"):
        wait_for(lambda: job_of(services, job_id).is_over)
        wait_for(lambda: words(services) == 0)
        last = hand_in(services, ticker="LAST")
        wait_for(lambda: job_of(services, last).is_over)
    assert [claims_of(job_of(services, one)) for one in (job_id, last)] == [1, 1]
    assert count_versions(services) == 2


def test_the_job_of_a_killed_worker_is_finished_by_another(services):
    job_id = hand_in(services, seconds=3)
    with ExitStack() as stack:
        first = stack.enter_context(worker("first"))
        (child,) = wait_for(lambda: list(descendants(first.pid)))
        wait_for(lambda: job_of(services, job_id).progress)
        stack.enter_context(worker("second"))
        first.kill()
        wait_for(lambda: not is_alive(child))
        wait_for(lambda: job_of(services, job_id).is_over)
    job = job_of(services, job_id)
    assert (job.state, job.attempt, claims_of(job)) == ("succeeded", 2, 2)
    assert count_versions(services) == 1


def test_jobs_that_wait_and_run_end_once_though_the_broker_is_killed_with_all_it_holds(services, redis):
    running, *waiting = [hand_in(services, ticker=name, seconds=4.0) for name in ("RUNS", "WAITS", "TOO")]
    with worker("only") as only:
        wait_for(lambda: job_of(services, running).progress)
        wait_for(lambda: words(services) >= 2)  # on a busy machine some are told of twice
        redis.kill()
        assert [job_of(services, one).state for one in (running, *waiting)] == ["running", "queued", "queued"]
        redis.start()
        wait_for(lambda: any("told of again" in line for line in only.said))
        wait_for(lambda: all(job_of(services, one).is_over for one in (running, *waiting)))
    jobs = [job_of(services, one) for one in (running, *waiting)]
    assert [(job.state, job.attempt, claims_of(job)) for job in jobs] == [("succeeded", 1, 1)] * 3
    assert count_versions(services) == 3


def test_a_worker_waits_for_a_broker_that_is_not_there_yet_and_is_told_of_what_was_handed_in(services, redis):
    redis.kill()
    job_id = hand_in(services)
    with worker("early") as early:
        wait_for(lambda: workers_alive(services) == ["early"])
        wait_for(lambda: any("upkeep waits for the broker" in line for line in early.said))
        redis.start()
        wait_for(lambda: job_of(services, job_id).is_over)
        early.terminate()
        assert early.wait(timeout=30) == 0
    assert (job_of(services, job_id).state, job_of(services, job_id).attempt) == ("succeeded", 1)
    assert not any(PASSWORD in line or "Cannot connect" in line for line in early.said), "the upkeep says it once"


def test_a_worker_leaves_though_the_broker_is_away(services, redis):
    redis.kill()
    with worker("leaving") as leaving:
        wait_for(lambda: workers_alive(services) == ["leaving"])
        leaving.terminate()
        assert leaving.wait(timeout=30) == 0
    assert workers_alive(services) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_asked_to_stop_hands_its_job_back_and_another_goes_on_at_once(services, number):
    job_id = hand_in(services, seconds=2.0)
    with worker("leaving") as leaving:
        (child,) = wait_for(lambda: list(descendants(leaving.pid)))
        wait_for(lambda: job_of(services, job_id).progress)
        os.kill(leaving.pid, number)
        assert leaving.wait(timeout=30) == 0
        assert not is_alive(child)
    job = job_of(services, job_id)
    assert (job.state, job.attempt) == ("queued", 0)
    assert words(services) >= 1
    assert "Traceback" not in "".join(leaving.said)
    with worker("next"):
        wait_for(lambda: job_of(services, job_id).is_over)
    assert (job_of(services, job_id).state, job_of(services, job_id).attempt) == ("succeeded", 1)


def test_a_cancelled_job_stops_and_one_that_waits_is_never_begun(services):
    running, waiting = hand_in(services, do="idle"), hand_in(services, do="idle", ticker="WAITS")
    with worker("only") as only:
        wait_for(lambda: job_of(services, running).progress)
        for job_id in (waiting, running):
            with services.database.write() as tx:
                leases.request_cancel(tx, job_id, now=services.now(tx))
        wait_for(lambda: job_of(services, running).is_over)
        wait_for(lambda: words(services) == 0)
        wait_for(lambda: not any(running in command for command in descendants(only.pid).values()))
    jobs = [job_of(services, one) for one in (running, waiting)]
    assert [(job.state, claims_of(job)) for job in jobs] == [("cancelled", 1), ("cancelled", 0)]


# Not on SQLite: one host has one clock.
@pytest.mark.parametrize("database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
@pytest.mark.parametrize("seconds_fast", [86_400, -86_400])
def test_a_worker_whose_clock_is_a_day_off_works_like_any_other(services, seconds_fast):
    first = hand_in(services, seconds=3.0)
    with worker("off", seconds_fast=seconds_fast), worker("right"):
        wait_for(lambda: sorted(workers_alive(services)) == ["off", "right"])
        second = hand_in(services, ticker="TOO", seconds=3.0)
        wait_for(lambda: all(job_of(services, one).is_over for one in (first, second)))
    jobs = [job_of(services, one) for one in (first, second)]
    assert [(job.state, job.attempt, claims_of(job)) for job in jobs] == [("succeeded", 1, 1)] * 2


def test_a_job_that_failed_for_a_while_is_told_of_again_when_its_time_has_come(services):
    job_id = hand_in(services, do="starve")
    with worker("only"):
        wait_for(lambda: job_of(services, job_id).is_over)
    job = job_of(services, job_id)
    assert (job.state, job.attempt, job.error["code"]) == ("failed", 3, "worker_lost")


def test_a_refresh_goes_to_the_queue_of_its_own_and_a_worker_takes_from_those_it_was_given(services, monkeypatch):
    monkeypatch.setenv("MORROW_QUEUES", "refresh")
    train, refresh = hand_in(services), hand_in(services, kind="refresh", ticker="NEW")
    wait_for(lambda: services.delivery.waiting() == {"train": 1, "refresh": 1})
    with worker("refresher"):
        wait_for(lambda: job_of(services, refresh).is_over)
    assert [job_of(services, one).state for one in (train, refresh)] == ["queued", "succeeded"]
    assert words(services) == 1


def test_trainings_may_have_another_queue(redis):
    gpu = CeleryDelivery(redis.url, "gpu", 60)
    assert [gpu.queue_of(kind) for kind in ("train", "tune", "backtest", "refresh")] == ["gpu"] * 3 + ["refresh"]
    assert gpu.waiting() == {"gpu": 0, "refresh": 0}


def test_more_urgent_jobs_come_first(services):
    ids = {}
    for priority in (-100, 0, 100):
        ids[priority] = submit(services, ticker=f"P{priority + 100}")
        services.delivery.send([replace(job_of(services, ids[priority]), priority=priority)])
    wait_for(lambda: words(services) == 3)
    with worker("only"):
        wait_for(lambda: all(job_of(services, one).is_over for one in ids.values()))
    ended = sorted(ids, key=lambda priority: job_of(services, ids[priority]).finished_at)
    assert ended == [100, 0, -100]


def test_a_round_tells_of_what_is_missing_and_of_no_more(services, redis):
    for name in ("A", "B", "C"):
        submit(services, ticker=name)
    time.sleep(1.1)  # the word of a newer job may be on its way
    told = redeliver(services)
    wait_for(lambda: words(services) == 3)
    with Redis.from_url(redis.url) as client:
        held = [key.decode() for key in client.scan_iter()]
    assert all(key.startswith("morrow.") for key in held), held
    assert (told, redeliver(services), words(services)) == (3, 0, 3)


def test_a_job_of_later_waits_for_its_time(services):
    job_id = submit(services)
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=5, now=services.now(tx), only=job_id)
        leases.release(tx, job_id, job.fence, now=services.now(tx) + timedelta(minutes=10))
    time.sleep(1.1)
    assert redeliver(services) == 0


def test_nobody_is_told_of_anything_and_celery_is_not_loaded_without_a_broker(services):
    code = (
        "import sys, app.cli.api_process, app.worker.loop; from app.bootstrap import open_services;"
        "from app.settings import Settings; services = open_services(Settings());"
        "services.delivery.send([]); print(sorted({'celery', 'kombu', 'redis'} & set(sys.modules)))"
    )
    for unset in (False, True):  # not even with one, before there is something to say
        environment = {key: value for key, value in os.environ.items() if not (unset and key == "MORROW_BROKER_URL")}
        said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert said.stdout.strip() == "[]"


@pytest.fixture
def rabbit(environment, monkeypatch):
    """A queue of the test's own on a RabbitMQ that is there; the URL of the broker."""
    url, name = os.environ.get("MORROW_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//"), f"test-{uuid4().hex}"
    monkeypatch.setenv("MORROW_BROKER_URL", url)
    monkeypatch.setenv("MORROW_TRAIN_QUEUE", name)
    monkeypatch.setenv("MORROW_QUEUES", name)
    with kombu.Connection(url, connect_timeout=2) as connection:
        try:
            connection.ensure_connection(max_retries=1)
        except connection.connection_errors:
            pytest.skip("no RabbitMQ answers; name one in MORROW_TEST_AMQP_URL")
        yield name
        connection.default_channel.queue_delete(name)
        connection.default_channel.exchange_delete(name)


def test_rabbitmq_carries_jobs_as_well(rabbit):
    services = open_services(Settings())
    first, second = hand_in(services, ticker="A"), hand_in(services, ticker="B", do="idle")
    wait_for(lambda: services.delivery.waiting()[rabbit] == 2)
    with worker("only") as only:
        wait_for(lambda: job_of(services, first).is_over and job_of(services, second).progress)
        only.terminate()
        assert only.wait(timeout=30) == 0
    wait_for(lambda: services.delivery.waiting()[rabbit] >= 1)
    jobs = [job_of(services, one) for one in (first, second)]
    services.database.close()
    assert [(job.state, job.attempt) for job in jobs] == [("succeeded", 1), ("queued", 0)]
