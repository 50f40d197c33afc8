"""Streams of events, read from a server as clients do."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from httpx2 import ServerSentEvent
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection
from structlog.testing import capture_logs

from app.api import sight, watch
from app.api.job_documents import job_body
from app.api.listeners import Batch, JobListener, Listener
from app.api.routes import events
from app.api.sight import MOST_ENDED, News, look
from app.api.watch import TooManyStreams, Watch
from app.bootstrap import open_services
from app.domain.job import Job
from app.errors import NoSuchJob, NotEnoughHistory
from app.forecasting.services import Services
from app.jobs import leases, queries
from app.jobs.submission import submit
from app.observability.metrics import EVENT_STREAMS
from app.registry import aliases, editions
from tests.api.conftest import Clock, serving
from tests.api.rows import add_version
from tests.db.databases import database_url, migrated_file, migrated_schema
from tests.e2e.service import running

__all__ = ["database_url", "migrated_file", "migrated_schema"]

PATIENCE_SECONDS = 30
RESULT = {"version": 3, "promoted": True, "reasons": [], "url": "/v1/models/AAA/versions/3"}
FROM_ANOTHER_PROCESS = """
import sys
from datetime import UTC, datetime
from app.db.engine import Database
from app.jobs import leases

database, now = Database(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
with database.write() as tx:
    job = leases.claim(tx, owner="w", lease_seconds=30, now=now)
for fraction in (0.25, 0.5):
    input()
    with database.write() as tx:
        leases.report(tx, job.job_id, job.fence, {"stage": "fit", "fraction": fraction})
input()
with database.write() as tx:
    leases.succeed(tx, job.job_id, job.fence, {"version": 3}, now=now)
database.close()
"""


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with serving(services) as address:
        yield address


@pytest.fixture(autouse=True)
def uncounted() -> Iterator[None]:
    """Forget the streams of watchers whose loop has ended: all tests of a process share the count."""
    yield
    EVENT_STREAMS.set(0)


@contextmanager
def stream(url: str, path: str, last_id: str | None = None) -> Iterator[Iterator[ServerSentEvent]]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with (
        httpx2.Client(base_url=url, timeout=PATIENCE_SECONDS) as client,
        client.sse(path, headers=headers) as source,
    ):
        assert source.response.status_code == 200, source.response.read()
        yield iter(source)


def queue(tx: Connection, work: str, now: Any) -> Job:
    job, _ = submit(tx, kind="train", ticker="AAA", payload={"of": work}, dedupe=work, now=now)
    return job


def add_job(services: Services, work: str = "work") -> Job:
    with services.database.write() as tx:
        return queue(tx, work, services.clock())


def take(services: Services) -> Job:
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=30, now=services.clock())
    assert job
    return job


def report(services: Services, job: Job, fraction: float) -> None:
    with services.database.write() as tx:
        assert leases.report(tx, job.job_id, job.fence, {"stage": "fit", "fraction": fraction})


def succeed(services: Services, job: Job) -> None:
    with services.database.write() as tx:
        assert leases.succeed(tx, job.job_id, job.fence, RESULT, now=services.clock())


def cancel(services: Services, job: Job) -> None:
    with services.database.write() as tx:
        leases.request_cancel(tx, job.job_id, now=services.clock())


def events_path(job: Job) -> str:
    return f"/v1/jobs/{job.job_id}/events"


def measured(url: str, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(httpx2.get(f"{url}/metrics").text)
    found = (s for family in families for s in family.samples if s.name == name)
    return sum(s.value for s in found if labels.items() <= s.labels.items())


def test_a_job_tells_what_happens_to_it_until_it_is_over(url: str, services: Services) -> None:
    job = add_job(services)
    said: list[ServerSentEvent] = []
    with stream(url, events_path(job)) as told:
        said.append(next(told))
        taken = take(services)
        said.append(next(told))
        for fraction in (0.25, 0.5):
            report(services, taken, fraction)
            said.append(next(told))
        cancel(services, job)
        said.append(next(told))
        succeed(services, taken)
        said += told
    assert [event.event for event in said] == ["state", "state", "progress", "progress", "state", "state"]
    shown = [event.json() for event in said]
    assert [one["state"] for one in shown] == ["queued", *["running"] * 4, "succeeded"]
    assert [one["cancel_requested"] for one in shown] == [False] * 4 + [True] * 2
    assert shown[3]["progress"] == {"stage": "fit", "fraction": 0.5}
    assert shown[-1]["result"] == RESULT
    assert len({event.id for event in said}) == 6


def test_the_data_of_an_event_are_the_bytes_that_the_job_answers(url: str, services: Services) -> None:
    job = add_job(services)
    taken = take(services)
    with services.database.write() as tx:
        refusal = NotEnoughHistory("zu wenig — too few\nlines", have=3, need=9)
        leases.fail(tx, job.job_id, taken.fence, refusal, now=services.clock())
    with stream(url, events_path(job)) as told:
        assert [event.data for event in told] == [httpx2.get(f"{url}/v1/jobs/{job.job_id}").text]


def test_a_job_names_where_its_events_are(url: str, services: Services) -> None:
    job = add_job(services)
    assert httpx2.get(f"{url}/v1/jobs/{job.job_id}").json()["links"]["events"] == events_path(job)


def test_a_stream_is_neither_kept_nor_buffered_on_its_way(url: str, services: Services) -> None:
    for path in ("/v1/events", events_path(add_job(services))):
        with httpx2.stream("GET", url + path) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers.get_list("cache-control") == ["no-store"]
            assert answer.headers["x-accel-buffering"] == "no"


def test_who_has_seen_the_end_of_a_job_is_answered_204(url: str, services: Services) -> None:
    job = add_job(services)
    with stream(url, events_path(job)) as told:
        first = next(told)
    cancel(services, job)
    with stream(url, events_path(job), first.id) as told:
        (last,) = told
    assert (last.event, last.json()["state"]) == ("state", "cancelled")
    again = httpx2.get(url + events_path(job), headers={"Last-Event-ID": last.id})
    assert (again.status_code, again.content) == (204, b"")


def test_who_has_the_present_document_hears_of_the_next_one_first(url: str, services: Services) -> None:
    job = add_job(services)
    take(services)
    with stream(url, events_path(job)) as told:
        last = next(told).id
    with stream(url, events_path(job), last) as told:
        cancel(services, job)
        event = next(told)
    assert (event.event, event.json()["cancel_requested"]) == ("state", True)


def test_no_job_and_no_job_id_are_refused_as_everywhere(url: str) -> None:
    missing, malformed = httpx2.get(f"{url}/v1/jobs/none/events"), httpx2.get(f"{url}/v1/jobs/no%20id/events")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_job")
    assert (malformed.status_code, malformed.json()["code"]) == (422, "invalid_request")


def test_a_job_that_is_tried_again_within_one_look_has_changed_its_state(url: str, services: Services) -> None:
    job = add_job(services)
    first = take(services)
    with stream(url, events_path(job)) as told:
        assert next(told).json()["attempt"] == 1
        with services.database.write() as tx:
            leases.release(tx, job.job_id, first.fence, now=services.clock())
            leases.claim(tx, owner="w", lease_seconds=30, now=services.clock())
            cancel_flag = leases.request_cancel(tx, job.job_id, now=services.clock())
        event = next(told)
    assert (event.event, event.json()["attempt"], cancel_flag.fence) == ("state", 1, 2)


def test_all_events_begin_with_the_edition_and_the_active_jobs(url: str, services: Services) -> None:
    add_version(services, alias="champion")
    over, active = add_job(services, "over"), add_job(services, "active")
    cancel(services, over)
    with stream(url, "/v1/events") as told:
        edition, job = next(told), next(told)
        assert (edition.event, edition.json()) == ("edition", {"edition": str(_edition(services))})
        assert (job.event, job.json()["job_id"]) == ("job", active.job_id)
        take(services)
        assert next(told).json()["state"] == "running"
        another = add_job(services, "another")
        assert next(told).json()["job_id"] == another.job_id


def test_a_changed_alias_is_an_edition(url: str, services: Services, clock: Clock) -> None:
    version = add_version(services)
    with stream(url, "/v1/events") as told:
        before = int(next(told).json()["edition"])
        with services.database.write() as tx:
            aliases.point(tx, "AAA", "champion", version.number, by="me", reason="", now=clock.now)
        event = next(told)
    assert (event.event, event.json()) == ("edition", {"edition": str(before + 1)})


def test_a_job_that_came_and_went_between_two_looks_is_told(url: str, services: Services) -> None:
    with stream(url, "/v1/events") as told:
        next(told)
        with services.database.write() as tx:
            job = queue(tx, "short", services.clock())
            leases.request_cancel(tx, job.job_id, now=services.clock())
        event = next(told)
    assert (event.json()["job_id"], event.json()["state"]) == (job.job_id, "cancelled")


def test_who_comes_back_is_told_what_ended_meanwhile(url: str, services: Services, clock: Clock) -> None:
    cancel(services, add_job(services, "long ago"))
    clock.now += timedelta(minutes=1)
    ended, waiting = add_job(services, "ended"), add_job(services, "waiting")
    with stream(url, "/v1/events") as told:
        last = [next(told), next(told), next(told)][-1].id
    clock.now += timedelta(minutes=1)
    cancel(services, ended)
    with stream(url, "/v1/events", last) as told:
        heard = [next(told), next(told)]
        assert [(event.event, event.json()["job_id"]) for event in heard] == [
            ("job", ended.job_id),
            ("job", waiting.job_id),
        ]
    add_version(services, alias="champion")
    with stream(url, "/v1/events", heard[-1].id) as told:
        assert next(told).event == "edition"


def test_who_went_in_the_middle_is_told_all_of_it_again(url: str, services: Services, clock: Clock) -> None:
    gone = add_job(services, "gone")
    with stream(url, "/v1/events") as told:
        assert next(told).event == "edition"
        first_of_two = next(told)
        clock.now += timedelta(minutes=1)
        with services.database.write() as tx:
            leases.request_cancel(tx, gone.job_id, now=clock.now)
            editions.next_edition(tx)
        edition = next(told)
    assert (edition.event, edition.id) == ("edition", first_of_two.id)
    with stream(url, "/v1/events", edition.id) as told:
        assert [next(told).event, next(told).json()["job_id"]] == ["edition", gone.job_id]


@pytest.mark.parametrize("foreign", ["17", "x.y", "1.999999999999999", "9" * 19 + ".1", "٣.٣"])
def test_an_id_of_somebody_else_counts_as_none(url: str, foreign: str) -> None:
    with httpx2.stream("GET", f"{url}/v1/events", headers={"Last-Event-ID": foreign.encode()}) as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(3)] == [": events", "retry: 2000", "event: edition"]


def test_another_process_is_heard_on_both_databases(
    database_url: str, services: Services, clock: Clock, tmp_path: Path
) -> None:
    settings = services.settings.model_copy(update={"database_url": database_url})
    shared = open_services(settings, clock=clock)
    add_job(shared)
    command = [sys.executable, "-c", FROM_ANOTHER_PROCESS, database_url, clock.now.isoformat()]
    with ExitStack() as stack:
        stack.callback(shared.database.close)
        url = stack.enter_context(serving(shared))
        told = stack.enter_context(stream(url, "/v1/events"))
        assert [next(told).event, next(told).json()["state"]] == ["edition", "queued"]
        other = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, text=True))
        heard = [next(told).json()]
        for _ in range(3):
            other.stdin.write("\n")
            other.stdin.flush()
            heard.append(next(told).json())
    assert other.returncode == 0
    assert [(one["state"], (one["progress"] or {}).get("fraction")) for one in heard] == [
        *[("running", None), ("running", 0.25), ("running", 0.5)],
        ("succeeded", 1.0),
    ]


def test_silence_is_broken_by_comments(url: str, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.01)
    for path in ("/v1/events", events_path(add_job(services))):
        with httpx2.stream("GET", url + path) as answer:
            assert ": ping" in (line for line in answer.iter_lines())


def test_a_stream_begins_at_once_though_there_is_nothing_to_tell(url: str, services: Services) -> None:
    job = add_job(services)
    with stream(url, events_path(job)) as told:
        first = next(told)
    assert first.retry == 2000
    with httpx2.stream("GET", url + events_path(job), headers={"Last-Event-ID": first.id}) as answer:
        lines = answer.iter_lines()
        assert [next(lines), next(lines)] == [": events", "retry: 2000"]


def test_a_heartbeat_before_the_first_event_is_no_event(
    url: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.01)
    job = add_job(services)
    with stream(url, events_path(job)) as told:
        first = next(told)
    with stream(url, events_path(job), first.id) as told:
        time.sleep(0.1)  # heartbeats
        take(services)
        event = next(told)
    assert (event.event, event.json()["state"], event.retry) == ("state", "running", 2000)


def test_head_of_a_stream_ends(url: str, services: Services) -> None:
    with httpx2.Client(base_url=url) as client:
        for path in ("/v1/events", events_path(add_job(services))):
            answer = client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["content-type"].startswith("text/event-stream")
        assert client.head("/v1/jobs/none/events").status_code == 404
        assert client.get("/livez").status_code == 200
    assert measured(url, "morrow_event_streams_open") == 0


def test_beyond_the_most_streams_the_next_one_is_put_off(
    url: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_STREAMS", 1)
    job = add_job(services)
    with stream(url, "/v1/events"):
        for path in ("/v1/events", events_path(job)):
            refused = httpx2.get(url + path)
            assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
            assert refused.json()["most"] == 1 and "retry-after" in refused.headers
    _until(lambda: measured(url, "morrow_event_streams_open") == 0)
    with stream(url, "/v1/events") as told:
        assert next(told).event == "edition"


def test_who_goes_leaves_nothing_behind(url: str, services: Services) -> None:
    job = add_job(services)
    with stream(url, "/v1/events"), stream(url, events_path(job)):
        assert measured(url, "morrow_event_streams_open") == 2
    _until(lambda: measured(url, "morrow_event_streams_open") == 0)


def test_a_stream_is_measured_as_it_begins_and_not_as_work_in_progress(url: str) -> None:
    route = {"route": "/v1/events", "method": "GET"}
    before = measured(url, "morrow_http_request_seconds_count", **route)
    with stream(url, "/v1/events") as told:
        next(told)
        assert measured(url, "morrow_http_request_seconds_count", **route) == before + 1
        assert measured(url, "morrow_http_requests_in_progress") == 1  # the scrape
    _until(lambda: measured(url, "morrow_event_streams_open") == 0)
    assert measured(url, "morrow_http_request_seconds_count", **route) == before + 1
    assert measured(url, "morrow_http_requests_in_progress") == 1


def test_a_stream_outlives_a_registry_that_is_away(
    url: str, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_AWAY_SECONDS", 0.01)
    with capture_logs() as log, stream(url, "/v1/events") as told:
        next(told)
        services.database.close()  # an open file can be read wherever it is
        services.settings.home.rename(tmp_path / "away")
        _until(lambda: any(line["event"] == "watch_sees_nothing" for line in log))
        refused = httpx2.get(f"{url}/v1/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        (tmp_path / "away").rename(services.settings.home)
        job = add_job(services)
        assert next(told).json()["job_id"] == job.job_id
    assert [line["event"] for line in log if line["event"].startswith("watch")] == ["watch_sees_nothing"]
    assert not any("exc_info" in line for line in log)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["api", "serve"])
def test_open_streams_end_in_order_when_the_service_is_told_to_stop(command: str, tmp_path: Path) -> None:
    with ExitStack() as clients:
        with running(tmp_path, command, MORROW_WORKERS="0") as service:
            told = clients.enter_context(stream(service.url, "/v1/events"))
            assert next(told).event == "edition"
            _, job = service.ask("/v1/refresh", {})
            of_job = clients.enter_context(stream(service.url, job["links"]["events"]))
            assert [next(of_job).event, next(told).event] == ["state", "job"]
        # Whole to the last chunk: had they been cut off after the server's patience, this would raise.
        assert [*told, *of_job] == []
    log = (tmp_path / "service.log").read_text()
    assert "Traceback" not in log and "graceful shutdown exceeded" not in log


def test_a_client_that_takes_nothing_does_not_keep_the_server_from_stopping(services: Services) -> None:
    add_job(services)
    job = take(services)
    with services.database.write() as tx:
        leases.report(tx, job.job_id, job.fence, {"stage": "x" * 20_000_000})  # more than is kept on the way
    with socket.socket() as client, capture_logs() as log:
        with serving(services) as url:
            client.connect(("127.0.0.1", httpx2.URL(url).port))
            client.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        rest = 0
        with suppress(ConnectionResetError):
            while some := client.recv(1_000_000):
                rest += len(some)
    assert rest < 20_000_000
    assert log == []


# The watcher alone, where a server would leave to chance what happens between two looks.


class Looks:
    """Counts looks at the real registry, and lets a test wait for the next one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(watch, "LOOK_SECONDS", 0.001)
        monkeypatch.setattr(watch, "look", self._look)

    def _look(self, *arguments: Any, **options: Any) -> sight.Sight:
        seen = look(*arguments, **options)
        self.count += 1
        return seen

    async def more(self) -> None:
        """Wait for a look that begins from now on, and for all to have been told."""
        target = self.count + 2
        while self.count < target:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def nothing(_tx: Connection) -> list[Job]:
    return []


def test_however_many_listen_one_looks_and_without_any_nobody(services: Services, looks: Looks) -> None:
    async def listen() -> None:
        watcher = Watch(services, lambda edition: None)
        assert not watcher.is_looking
        listeners = [Listener() for _ in range(20)]
        for listener in listeners:
            await watcher.join(listener, nothing)
        tasks = len(asyncio.all_tasks())
        await looks.more()
        assert (tasks, watcher.is_looking) == (2, True)  # this one, and the watcher's
        for listener in listeners:
            watcher.leave(listener)
        looking = watcher._looking
        assert looking
        await looking  # it ends, and nothing else looks
        assert not watcher.is_looking and len(asyncio.all_tasks()) == 1
        await watcher.join(Listener(), nothing)
        await looks.more()

    asyncio.run(listen())


def test_a_slow_listener_gets_the_newest_alone_and_holds_up_nobody(services: Services, looks: Looks) -> None:
    add_job(services)
    job = take(services)

    async def listen() -> tuple[list[Any], list[Any]]:
        watcher, slow, quick = Watch(services, lambda edition: None), Listener(), JobListener(job.job_id)
        await watcher.join(slow, nothing)
        await watcher.join(quick, lambda tx: [queries.get(tx, job.job_id)])
        heard = []
        for fraction in (0.1, 0.2, 0.3):
            report(services, job, fraction)
            await looks.more()
            heard += (await quick.batch(10)).news
        return heard, (await slow.batch(10)).news

    heard, late = asyncio.run(listen())
    assert [news.job.progress["fraction"] for news in heard] == [0.1, 0.2, 0.3]
    assert [news.job.progress["fraction"] for news in late] == [0.3]


def test_forecasts_know_of_an_edition_before_anybody_is_told(services: Services, looks: Looks) -> None:
    async def listen() -> None:
        known: list[int] = []
        watcher, listener = Watch(services, known.append), Listener()
        await watcher.join(listener, nothing)
        for _ in range(3):
            batch = await listener.batch(10)
            assert batch.is_new_edition and known[-1] >= batch.edition
            with services.database.write() as tx:
                editions.next_edition(tx)

    asyncio.run(listen())


@pytest.mark.parametrize("at_once", [True, False])
def test_of_more_ended_jobs_than_a_client_is_told_it_hears_of_the_last(services: Services, at_once: bool) -> None:
    job, seen = add_job(services), look(services, None)
    listener = Listener(edition=seen.edition)
    listener.tell(seen, [News(job)])
    news = [News(replace(job, job_id=str(number), state="cancelled")) for number in range(MOST_ENDED + 200)]
    for part in [news] if at_once else [[one] for one in news]:
        listener.tell(seen, part)
    batch = asyncio.run(listener.batch(1))
    assert not listener.is_closed
    assert list(batch.news) == [News(job), *news[200:]]


def test_many_jobs_that_end_in_one_look_end_no_stream(services: Services, looks: Looks) -> None:
    with services.database.write() as tx:
        ids = [queue(tx, str(number), services.clock()).job_id for number in range(MOST_ENDED + 100)]

    async def listen() -> None:
        watcher, listener = Watch(services, lambda edition: None), Listener()
        await watcher.join(listener, nothing)
        assert len((await listener.batch(10)).news) == len(ids)
        with services.database.write() as tx:
            for job_id in ids:
                leases.request_cancel(tx, job_id, now=services.clock())
        told = (await listener.batch(10)).news
        assert (len(told), listener.is_closed) == (MOST_ENDED, False)
        assert {one.job.state for one in told} == {"cancelled"}

    asyncio.run(listen())


@pytest.mark.parametrize("clock_step", [timedelta(seconds=25), timedelta(hours=3), timedelta(hours=-3)])
def test_what_ended_between_two_looks_is_seen_however_long_that_was(
    services: Services, clock: Clock, clock_step: timedelta
) -> None:
    before = look(services, None)
    clock.now += min(clock_step, timedelta(seconds=5))
    job = add_job(services, "short")
    cancel(services, job)
    clock.now += max(clock_step, timedelta())
    after = look(services, before)
    assert [news.job.job_id for news in after.changed] == [job.job_id]
    assert not look(services, after).changed


def test_an_empty_batch_is_no_event_and_ends_no_stream(services: Services) -> None:
    seen = look(services, None)
    batch = Batch(edition=seen.edition, is_new_edition=False, news=(), moment=seen.moment)
    assert list(events._events(batch, "", events.Position(0, seen.moment))) == []


def test_all_who_come_during_a_look_share_the_next_and_too_many_are_refused_at_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, may_end, count = threading.Event(), threading.Event(), []

    def slowly(*arguments: Any, **options: Any) -> sight.Sight:
        count.append(1)
        looking.set()
        assert may_end.wait(PATIENCE_SECONDS)
        return look(*arguments, **options)

    monkeypatch.setattr(watch, "look", slowly)
    monkeypatch.setattr(watch, "MAX_STREAMS", 4)

    async def listen() -> None:
        watcher, listeners = Watch(services, lambda edition: None), [Listener() for _ in range(5)]
        first = asyncio.create_task(watcher.join(listeners[0], nothing))
        await asyncio.to_thread(looking.wait)
        rest = [asyncio.create_task(watcher.join(one, nothing)) for one in listeners[1:4]]
        await asyncio.sleep(0)
        with pytest.raises(TooManyStreams):
            await watcher.join(Listener(), nothing)
        rest[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await rest[0]
        rest.append(asyncio.create_task(watcher.join(listeners[4], nothing)))  # in the place that is free again
        may_end.set()
        await asyncio.gather(first, *rest[1:])
        assert len(count) == 2
        assert [(await one.batch(0.01)) is not None for one in listeners] == [True, False, True, True, True]

    asyncio.run(listen())


def test_who_comes_while_a_look_fails_is_let_in_by_the_next(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, may_end = threading.Event(), threading.Event()

    def broken(*_: Any, **__: Any) -> sight.Sight:
        monkeypatch.setattr(watch, "look", look)
        looking.set()
        assert may_end.wait(PATIENCE_SECONDS)
        raise ZeroDivisionError

    monkeypatch.setattr(watch, "look", broken)

    async def listen() -> None:
        watcher, listener = Watch(services, lambda edition: None), Listener()
        first = asyncio.create_task(watcher.join(Listener(), nothing))
        await asyncio.to_thread(looking.wait)
        second = asyncio.create_task(watcher.join(listener, nothing))
        await asyncio.sleep(0)
        may_end.set()
        with pytest.raises(ZeroDivisionError):
            await first
        await second
        assert await listener.batch(10)

    with capture_logs() as log:
        asyncio.run(listen())
    assert [line["event"] for line in log] == ["watch_failed"]


def test_what_one_who_comes_asks_for_in_vain_concerns_no_other(services: Services, looks: Looks) -> None:
    async def listen() -> None:
        watcher, listener = Watch(services, lambda edition: None), Listener()
        refused, told = await asyncio.gather(
            watcher.join(JobListener("none"), lambda tx: [queries.get(tx, "none")]),
            watcher.join(listener, nothing),
            return_exceptions=True,
        )
        assert (type(refused), told) == (NoSuchJob, None)
        assert await listener.batch(10)
        for _ in range(watch.MAX_STREAMS - 1):
            await watcher.join(Listener(), nothing)

    asyncio.run(listen())


def test_documents_are_written_where_the_registry_is_read(
    services: Services, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = set()

    def body(*arguments: Any) -> bytes:
        writers.add(threading.current_thread())
        return job_body(*arguments)

    monkeypatch.setattr(sight, "job_body", body)
    add_job(services)

    async def listen() -> None:
        watcher = Watch(services, lambda edition: None)
        for listener in (Listener("/behind"), Listener("/elsewhere"), Listener("/behind")):
            await watcher.join(listener, nothing)
            (news,) = (await listener.batch(10)).news
            assert f'"self":"{listener.root_path}/v1/jobs/' in news.written(listener.root_path).text
        take(services)
        (news,) = (await listener.batch(10)).news
        assert news.written(listener.root_path)

    asyncio.run(listen())
    assert writers and threading.main_thread() not in writers


def test_an_error_nobody_foresaw_ends_the_streams_and_the_next_one_looks_again(
    services: Services, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> sight.Sight:
        raise ZeroDivisionError

    async def listen() -> None:
        watcher, listener, next_one = Watch(services, lambda edition: None), Listener(), Listener()
        await watcher.join(listener, nothing)
        assert await listener.batch(10)
        monkeypatch.setattr(watch, "look", broken)
        assert await listener.batch(10) is None and listener.is_closed
        watcher.leave(listener)
        monkeypatch.setattr(watch, "look", look)
        await watcher.join(next_one, nothing)
        assert await next_one.batch(10) and watcher.is_looking

    with capture_logs() as log:
        asyncio.run(listen())
    assert [line["event"] for line in log] == ["watch_failed"]


def test_a_look_reads_in_full_what_has_changed_alone(services: Services) -> None:
    first, second = add_job(services, "first"), add_job(services, "second")
    before = look(services, None)
    cancel(services, second)
    after = look(services, before)
    assert [news.job.job_id for news in after.changed] == [second.job_id]
    assert after.active[first.job_id] is before.active[first.job_id]
    assert not look(services, after).changed


def _edition(services: Services) -> int:
    with services.database.read() as tx:
        return editions.current(tx)


def _until(holds: Callable[[], bool]) -> None:
    """Wait for what comes sooner or later; the test's own time limit ends it."""
    while not holds():
        time.sleep(0.01)
