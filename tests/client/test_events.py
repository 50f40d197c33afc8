"""What happens, as the served API tells it of jobs that really change, to both clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api import watch as watcher
from app.client import AsyncClient, AsyncJobHandle, Edition, JobCancelled, JobFailed, NotFound, Unexpected, Unreachable
from app.client.watch import Watch
from app.errors import NotEnoughHistory
from app.jobs import leases
from app.registry import editions
from tests.api.test_events import RESULT, add_job, cancel, measured, report, succeed, take
from tests.client.canned import RESET, canned, events_said, html_said, problem_said
from tests.client.test_waiting import job

NO_LOOK = 600  # seconds between looks: who has to look here waits for longer than a test may


@pytest.fixture(autouse=True)
def _again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sync_sending", "async_sending"):
        monkeypatch.setattr(f"app.client.{module}.RETRY_SECONDS", 0.01)


@pytest.fixture
def end_streams(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the service end all its streams at its next look; those after it live."""
    look = watcher.look

    def end() -> None:
        def broken(*_: Any, **__: Any) -> None:
            monkeypatch.setattr(watcher, "look", look)
            raise ZeroDivisionError

        monkeypatch.setattr(watcher, "look", broken)

    return end


def shown(event: Any) -> tuple[str, str]:
    return ("edition", event.edition) if isinstance(event, Edition) else (event.id, event.state)


def next_edition(services: Any) -> None:
    with services.database.write() as tx:
        editions.next_edition(tx)


def waited(morrow: Any, services: Any, *steps: Callable[[Any], object], **options: Any) -> tuple[Any, list[Any]]:
    """Wait for a job that changes by one of ``steps`` whenever a change was heard of; return it and what was heard."""
    handle = morrow.job(add_job(services).job_id)
    taken, left, heard = take(services), list(steps), []

    def hear(one: Any) -> None:
        heard.append((one.state, (one.progress or {}).get("fraction")))
        if left:
            left.pop(0)(taken)

    handle.wait(**options, on_change=hear)
    return handle, heard


def test_a_wait_hears_all_that_a_worker_does(morrow, services):
    handle, heard = waited(
        morrow,
        services,
        lambda job: report(services, job, 0.25),
        lambda job: report(services, job, 0.5),
        lambda job: succeed(services, job),
        poll=NO_LOOK,
    )
    assert heard == [("running", None), ("running", 0.25), ("running", 0.5), ("succeeded", 1.0)]
    assert handle.result == RESULT


def test_a_wait_ends_with_what_a_worker_says_of_a_failure(morrow, services):
    def fail(job: Any) -> None:
        with services.database.write() as tx:
            leases.fail(tx, job.job_id, job.fence, NotEnoughHistory("Too few.", have=3, need=9), now=services.clock())

    with pytest.raises(JobFailed) as failed:
        waited(morrow, services, fail, poll=NO_LOOK)
    assert (failed.value.code, failed.value.facts["have"]) == ("not_enough_history", 3)


def test_a_wait_ends_with_a_cancellation(morrow, services):
    handle = morrow.job(add_job(services).job_id)
    handle.cancel()
    with pytest.raises(JobCancelled):
        morrow.job(handle.id).wait(poll=NO_LOOK)


def test_a_wait_outlives_a_service_that_ends_its_streams(morrow, services, end_streams):
    def end_and_report(job: Any) -> None:
        end_streams()
        ended = log.copy()
        while log == ended:
            time.sleep(0.01)
        report(services, job, 0.5)

    with capture_logs() as log:
        _, heard = waited(morrow, services, end_and_report, lambda job: succeed(services, job), poll=0.01)
    assert heard == [("running", None), ("running", 0.5), ("succeeded", 1.0)]
    assert [line["event"] for line in log] == ["watch_failed"]


def test_all_that_happens_is_told_until_the_caller_leaves(morrow, services, served):
    waiting = add_job(services)
    events = iter(morrow.events())
    first, active = next(events), next(events)
    assert isinstance(first, Edition)
    assert shown(active) == (waiting.job_id, "queued")
    next_edition(services)
    assert int(next(events).edition) == int(first.edition) + 1
    taken = take(services)
    assert shown(next(events)) == (waiting.job_id, "running")
    succeed(services, taken)
    last = next(events)
    assert (last.state, last.result, last.wait().is_over) == ("succeeded", RESULT, True)
    events.close()
    while measured(served, "morrow_event_streams_open"):
        time.sleep(0.01)


def test_what_happens_while_nobody_is_connected_is_told_after(morrow, services, end_streams):
    job = add_job(services)
    events = iter(morrow.events())
    assert isinstance(next(events), Edition)
    assert shown(next(events)) == (job.job_id, "queued")
    with capture_logs() as log:
        end_streams()
        while not log:
            time.sleep(0.01)
        cancel(services, job)
        assert shown(next(events)) == (job.job_id, "cancelled")
    next_edition(services)
    assert isinstance(next(events), Edition)


def test_a_lost_stream_is_opened_again_behind_its_last_event(opened):
    told = events_said(("edition", {"edition": "7"}), ("other", 1), ("job", job("succeeded")))
    told.body = told.body.replace(b"event: job", b"id: 7.100\nevent: job")
    away = [RESET, problem_said(503, "too_many_streams", Retry_After="0"), events_said()]
    with canned(told, *away, events_said(("edition", {"edition": "8"}))) as server:
        events = iter(opened(server.url).events())
        assert [shown(next(events)) for _ in range(3)] == [("edition", "7"), ("j1", "succeeded"), ("edition", "8")]
        assert [asked.headers.get("last-event-id") for asked in server.asked] == [None, *["7.100"] * 4]
        assert {asked.path for asked in server.asked} == {"/v1/events"}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (problem_said(404, "not_found"), NotFound),
        (html_said(200), Unexpected),
        (events_said(("edition", {"edition": 7})), Unexpected),
    ],
    ids=["404", "html", "nonsense"],
)
def test_a_service_that_tells_nothing_of_the_kind_is_not_asked_again(opened, said, error):
    with canned(said) as server:
        with pytest.raises(error):
            next(iter(opened(server.url).events()))
        assert len(server.asked) == 1


def test_who_cannot_be_heard_for_too_long_is_given_up(opened, monkeypatch):
    for module in ("sync_sending", "async_sending"):
        monkeypatch.setattr(f"app.client.{module}.ABSENCE_SECONDS", 0.05)
    with canned(RESET) as server, pytest.raises(Unreachable):
        next(iter(opened(server.url).events()))


def test_a_silent_stream_is_no_absence():
    now = 0.0
    watch = Watch(poll=1, absence=60)
    watch._clock = lambda: now
    with watch.hearing():
        now = 1000.0
    with watch.bearing_absence():
        raise Unreachable({"code": "unreachable", "detail": "gone"})
    now = 1061.0
    with pytest.raises(Unreachable), watch.bearing_absence():
        raise Unreachable({"code": "unreachable", "detail": "gone"})


def test_other_tasks_run_while_one_follows_what_happens(served, services):
    async def follow() -> list[Any]:
        async with AsyncClient(served) as morrow:
            heard, is_there = [], asyncio.Event()

            async def listen() -> None:
                async for event in morrow.events():
                    is_there.set()
                    heard.append(event)
                    if isinstance(event, AsyncJobHandle):
                        break

            listening = asyncio.create_task(listen())
            await is_there.wait()
            await morrow.backtest("AAA")
            await listening
            return heard

    edition, job = asyncio.run(follow())
    assert (shown(edition)[0], job.kind) == ("edition", "backtest")
    while measured(served, "morrow_event_streams_open"):
        time.sleep(0.01)
