"""Waiting for a job: by its events, by looks, and through a restart."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

import app.client.watch
from app.api.schemas.jobs import JobOut
from app.client import Client, JobCancelled, JobFailed, Unavailable, Unreachable
from app.client.watch import Watch
from tests.api.conftest import serving
from tests.client.canned import RESET, Said, canned, events_said, html_said, json_said, problem_said


def job(state: str = "running", *, events: bool = True, **facts: Any) -> dict[str, Any]:
    links = {"self": "/v1/jobs/j1", "cancel": "/v1/jobs/j1/cancel"}
    return {
        **{"job_id": "j1", "kind": "train", "ticker": "AAA", "state": state, "deduplicated": False, "priority": 0},
        **{"progress": None, "attempt": 1, "max_attempts": 3, "cancel_requested": False, "error": None, "result": None},
        **{"created_at": "2026-11-20T12:00:00Z", "started_at": None, "finished_at": None, "submitted_by": "anonymous"},
        "links": links | ({"events": "/v1/jobs/j1/events"} if events else {}),
        **facts,
    }


DONE = job("succeeded", result={"version": 1})
QUEUED = json_said(job("queued"), status=202)


def paths(server) -> list[str]:
    return [asked.path for asked in server.asked]


def test_events_are_followed_to_the_end_without_a_look(opened):
    told = [
        ("state", job()),
        ("other", 1),
        ("progress", job(progress={"stage": "fit", "fraction": 0.5})),
        ("state", DONE),
    ]
    seen = []
    with canned(QUEUED, events_said(*told)) as server:
        handle = opened(server.url).train("AAA")
        handle.wait(on_change=lambda one: seen.append((one.state, (one.progress or {}).get("stage"))))
        assert paths(server) == ["/v1/train", "/v1/jobs/j1/events"]
    assert seen == [("running", None), ("running", "fit"), ("succeeded", None)]
    assert handle.result == {"version": 1}
    assert handle.is_over


@pytest.mark.parametrize(
    "broken",
    [events_said(("state", job())), RESET, problem_said(503, "store_unavailable"), Said(204)],
    ids=lambda s: s.status,
)
def test_a_stream_that_breaks_is_bridged_by_a_look_and_asked_for_again(opened, broken):
    with canned(QUEUED, broken, json_said(job()), events_said(("state", DONE))) as server:
        opened(server.url).train("AAA").wait(poll=0.01)
        assert paths(server)[1:] == ["/v1/jobs/j1/events", "/v1/jobs/j1", "/v1/jobs/j1/events"]


@pytest.mark.parametrize(
    "none",
    [problem_said(404, "not_found"), html_said(200), events_said(("state", {"hello": 1})), html_said(403)],
    ids=["404", "html", "nonsense", "403"],
)
def test_where_there_are_no_events_the_job_is_looked_at(opened, none):
    with canned(QUEUED, none, json_said(job()), json_said(DONE)) as server:
        opened(server.url).train("AAA").wait(poll=0.01)
        assert paths(server)[1:] == ["/v1/jobs/j1/events", "/v1/jobs/j1", "/v1/jobs/j1"]


def test_a_service_without_events_is_looked_at_as_often_as_it_says(opened):
    old = json_said(job(events=False), Retry_After="0")
    with canned(json_said(job("queued", events=False), status=202), old, old, json_said(DONE)) as server:
        # Only the first pause is ours: after it the service says when.
        opened(server.url).job("j1").wait(poll=0.01)
        assert paths(server) == ["/v1/jobs/j1"] * 4


def test_a_restart_is_survived(opened):
    away = [RESET, html_said(502), problem_said(503, "store_unavailable"), RESET]
    with canned(json_said(job(events=False)), *away, json_said(DONE)) as server:
        assert opened(server.url).job("j1").wait(poll=0.01).state == "succeeded"


def test_what_asks_for_patience_meanwhile_gets_it():
    watch = Watch(timeout=None, poll=1, absence=60)
    with watch.bearing_absence():
        raise Unavailable({"code": "limited", "detail": "Later.", "status": 429}, {"retry-after": "7"})
    assert watch.pause() == 7


def test_who_is_told_to_come_back_in_an_hour_looks_before():
    watch = Watch(timeout=None, poll=1, absence=60)
    watch.saw(3600.0)
    assert watch.pause() == app.client.watch.LONGEST_PAUSE < 60


def test_what_is_raised_on_a_change_ends_the_wait(opened):
    def leave(_: object) -> None:
        raise KeyError("enough")

    with canned(QUEUED, events_said(("state", job()), ("state", DONE))) as server:
        handle = opened(server.url).train("AAA")
        with pytest.raises(KeyError):
            handle.wait(on_change=leave)
        assert handle.state == "running"


def test_who_is_away_for_too_long_is_given_up(opened):
    with canned(json_said(job(events=False)), RESET) as server:
        handle = opened(server.url).job("j1")
        with pytest.raises(Unreachable):
            handle.wait(poll=0.01, absence=0.05)


def test_a_wait_ends_with_its_time_and_the_job_goes_on(opened):
    with canned(json_said(job())) as server:
        handle = opened(server.url).job("j1")
        with pytest.raises(TimeoutError):
            handle.wait(0.05, poll=0.01)
        assert handle.state == "running"


def test_a_wait_ends_with_its_time_though_the_stream_lives_and_tells_nothing(opened, monkeypatch):
    monkeypatch.setattr(app.client.watch, "LONGEST_SILENCE", 0.3)
    quiet = replace(events_said(("state", DONE)), pings=100)
    with canned(QUEUED, quiet, json_said(job())) as server:
        handle = opened(server.url).train("AAA")
        with pytest.raises(TimeoutError):
            handle.wait(0.6, poll=0.05)
        assert handle.state == "running"
        assert paths(server)[1] == "/v1/jobs/j1/events"


def test_a_failure_says_why_and_a_cancellation_that_it_was_one(opened):
    why = {"code": "fit_diverged", "title": "Diverged", "detail": "NaN.", "epoch": 3}
    with canned(json_said(job("failed", error=why))) as server, pytest.raises(JobFailed) as failed:
        opened(server.url).job("j1").wait()
    assert (failed.value.code, failed.value.facts) == ("fit_diverged", {"epoch": 3})
    assert isinstance(failed.value.job, JobOut)
    with canned(json_said(job("cancelled"))) as server, pytest.raises(JobCancelled, match="was cancelled"):
        opened(server.url).job("j1").wait()


def test_a_bar_is_drawn_when_asked_for(opened, capsys):
    with canned(QUEUED, events_said(("state", DONE))) as server:
        opened(server.url).train("AAA").wait(progress=True)
    said = capsys.readouterr().err
    assert "Training AAA" in said
    assert "100 %" in said


def test_a_job_of_the_served_api_is_waited_for_until_somebody_cancels_it(opened, services):
    with serving(services) as url:
        handle = opened(url).train("AAA")
        with Client(url) as another:
            canceller = threading.Timer(0.3, another.cancel, [handle.id])
            canceller.start()
            with pytest.raises(JobCancelled):
                handle.wait(poll=0.05)
            canceller.join()


def test_a_watch_bears_an_absence_only_for_a_while():
    watch = Watch(timeout=None, poll=1, absence=1000)
    with watch.bearing_absence():
        raise Unreachable({"code": "unreachable", "detail": "gone"})
    assert watch.pause() == 1
    watch.saw(5)
    assert watch.pause() == 5
