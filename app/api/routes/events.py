"""What happens, told as it happens: server-sent events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.sse import format_sse_event
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.api.dependencies import JobPath, TheHotAnswers, TheServices, TheWatch, caller_of
from app.api.documents import root_path_of
from app.api.guard import owner_of
from app.api.listeners import Batch, JobListener, Listener
from app.api.problems import problems
from app.api.routes import router_of
from app.api.sight import MOST_ENDED, OVERLAP, News
from app.api.watch import Watch
from app.domain.job import Job
from app.forecasting.services import Services
from app.jobs import queries
from app.registry import editions

router = router_of("events")
HEARTBEAT_SECONDS = 15.0
# At once, since proxies hold a head back until a byte of the body comes. No empty line behind it or a heartbeat: where
# ``retry`` counts as a part of an event, it is one of the first event and not one of its own.
_BEGIN = b": events\nretry: 2000\n"
_HEARTBEAT = b": ping\n"
_POSITION = re.compile(r"(\d{1,18})\.(\d{1,15})", re.ASCII)
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
_SEEN: dict[int | str, dict[str, Any]] = {204: {"description": "The job is over, and Last-Event-ID is its last event."}}

LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="`id` of the last event that came; browsers send it.")
]


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=Response,
    responses={**_STREAM, **_SEEN, **problems(404, 422)},
    summary="What happens to a job",
)
async def of_job(
    job_id: JobPath,
    services: TheServices,
    hot: TheHotAnswers,
    watch: TheWatch,
    request: Request,
    last_event_id: LastEventId = None,
) -> Response:
    """Stream the job as it changes: `data` of every event is what `GET /v1/jobs/{job_id}` answers, in one line.

    The first event comes at once. `state` says that `state`, `cancel_requested` or `attempt` has changed, `progress`
    that the rest has; several changes within a quarter of a second are one event. The stream ends after a final
    state. `id` names this one document: with it as `Last-Event-ID` nothing is sent until the job changes, and 204
    answers when it is over; with any other the present document is. Forecasts that are asked for after the final event
    with `Cache-Control: no-cache` know what the job did where the same process answers; any other does a tenth of a
    second later.
    """
    root_path = root_path_of(request)
    news, edition = await run_in_threadpool(_read, services, job_id, root_path)
    if not news.job.is_over and not request.state.only_head:
        listener = JobListener(job_id, root_path, **_place_of(request))
        await watch.join(listener, lambda tx: [queries.get(tx, job_id)])
        return EventStream(watch, listener, _tell_job(listener, last_event_id))
    hot.saw(edition)
    if news.job.is_over and last_event_id == news.written(root_path).id:
        return Response(status_code=204)
    return StreamingResponse(_tell_once(news, root_path), headers=_HEADERS, media_type="text/event-stream")


@router.get("/v1/events", response_class=Response, responses={**_STREAM, **problems(422)}, summary="What happens")
async def of_all(watch: TheWatch, request: Request, last_event_id: LastEventId = None) -> Response:
    """Stream editions and jobs without end; several changes of one job within a quarter of a second are one event.

    `edition` has `{"edition": "17"}`: what is answered about forecasts may have changed. Forecasts that are asked for
    after it with `Cache-Control: no-cache` are of this edition or a later one where the same process answers; any other
    knows of it a tenth of a second later. `job` has what `GET /v1/jobs/{job_id}` answers, in one line. First come the
    present edition and every job that waits or runs, then each change. With the `id` of an event as `Last-Event-ID`
    the edition comes only if it is another one, and before the active jobs those that have ended since. Of jobs that
    end at once, or before a client takes or asks for them, the 1000 that ended last are told. Else nothing is left
    out, but the end of a job that is less than 20 s older than the event may come twice. An id that this service did
    not make counts as none.
    """
    if request.state.only_head:
        return StreamingResponse((), headers=_HEADERS, media_type="text/event-stream")
    since = _position_of(last_event_id)
    listener = Listener(root_path_of(request), edition=since.edition if since else None, **_place_of(request))
    await watch.join(listener, lambda tx: _ended(tx, since))
    return EventStream(watch, listener, _tell_all(listener, since))


class EventStream(StreamingResponse):
    """An open stream; whatever ends it, ``listener`` is told nothing more."""

    def __init__(self, watch: Watch, listener: Listener, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, headers=_HEADERS, media_type="text/event-stream")
        self._watch = watch
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until there is no more, or the client goes."""
        scope["state"]["is_event_stream"] = True  # for the server, when it stops
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watch.leave(self._listener)


@dataclass(frozen=True)
class Position:
    """How far a client has been told all that happened: an edition, and a moment."""

    edition: int
    moment: datetime

    def __str__(self) -> str:
        return f"{self.edition}.{int(self.moment.timestamp() * 1000)}"


def _place_of(request: Request) -> dict[str, Any]:
    """Return whose the stream is, and for how long it may be open: the key may be revoked meanwhile."""
    caller, guard = caller_of(request), request.app.state.guard

    def may_go_on() -> bool:
        guard.keyring.is_fresh()  # has the keys looked at, now and then
        valid: bool = guard.keyring.is_still_valid(caller)
        return valid

    return {"owner": owner_of(caller, request.scope), "may_go_on": may_go_on}


def _read(services: Services, job_id: str, root_path: str) -> tuple[News, int]:
    with services.database.read() as tx:
        news, edition = News(queries.get(tx, job_id)), editions.current(tx)
    news.written(root_path)
    return news, edition


def _position_of(last_event_id: str | None) -> Position | None:
    """Read the id of an event of ours, ``None`` when it is none."""
    found = _POSITION.fullmatch(last_event_id or "")
    with suppress(ValueError, OverflowError):  # beyond the calendar
        return Position(int(found[1]), datetime.fromtimestamp(int(found[2]) / 1000, UTC)) if found else None
    return None


def _ended(tx: Connection, since: Position | None) -> list[Job]:
    return queries.get_many(tx, queries.ended_since(tx, since.moment - OVERLAP, limit=MOST_ENDED)) if since else []


async def _tell_job(listener: JobListener, last_id: str | None) -> AsyncIterator[bytes]:
    yield _BEGIN
    told: Job | None = None
    async for batch in _batches(listener):
        if batch is None:
            yield _HEARTBEAT
            continue
        for news in batch.news:
            if news.written(listener.root_path).id != last_id:
                yield _job_event(news, listener.root_path, told)
            told, last_id = news.job, news.written(listener.root_path).id
            if news.job.is_over:
                return


async def _tell_once(news: News, root_path: str) -> AsyncIterator[bytes]:
    yield _BEGIN
    yield _job_event(news, root_path, None)


def _job_event(news: News, root_path: str, told: Job | None) -> bytes:
    document, kind = news.written(root_path), "progress" if told and _stands(told) == _stands(news.job) else "state"
    return format_sse_event(event=kind, data_str=document.text, id=document.id)


def _stands(job: Job) -> tuple[str, bool, int]:
    return job.state, job.cancel_requested, job.attempt


async def _tell_all(listener: Listener, told: Position | None) -> AsyncIterator[bytes]:
    yield _BEGIN
    async for batch in _batches(listener):
        if batch is None:
            yield _HEARTBEAT
            continue
        for event in _events(batch, listener.root_path, told or Position(0, batch.moment)):
            yield event
        told = Position(batch.edition, batch.moment)


async def _batches(listener: Listener) -> AsyncIterator[Batch | None]:
    """Yield what there is to tell until the stream is to end, and ``None`` after every silence."""
    while not listener.is_closed:
        batch = await listener.batch(HEARTBEAT_SECONDS)
        if batch or not listener.is_closed:
            yield batch


def _events(batch: Batch, root_path: str, told: Position) -> Iterator[bytes]:
    """Write the events of ``batch`` for who has been told all until ``told``."""
    # Who goes in the middle has to be told all of this again: only the last event says that it is told.
    now, left = Position(batch.edition, batch.moment), len(batch.news)
    if batch.is_new_edition:
        text = f'{{"edition": "{batch.edition}"}}'
        yield format_sse_event(event="edition", data_str=text, id=str(told if left else now))
    for news in batch.news:
        left -= 1
        yield format_sse_event(event="job", data_str=news.written(root_path).text, id=str(told if left else now))
