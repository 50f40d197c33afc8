"""The same as ``app.client.sync_sending`` for those who await: only what sends and waits differs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx2

from app.api.schemas.jobs import JobOut, JobsOut
from app.client.attempts import Attempts, told_to_wait
from app.client.call import Answer, Call, Flow, Listing, Schema, Stream, raw
from app.client.documents import Edition
from app.client.errors import ClientError
from app.client.jobs import AsyncJobHandle
from app.client.memory import Memory
from app.client.sync_sending import named_as
from app.client.watch import ABSENCE_SECONDS, RETRY_SECONDS, Watch
from app.client.wire import (
    WantedBytes,
    address_of,
    answer_of,
    losses,
    opening_of,
    options_of,
    pause_after,
    refuse_stream,
    request_of,
    told_by,
)

P = ParamSpec("P")
T = TypeVar("T")
Later = Coroutine[Any, Any, T]


class AsyncSender:
    """Sends calls to the service at ``url``, of one event loop; it is closed at the end of its block."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        attempts: int = 4,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = address_of(url)
        self._timeout = timeout
        self._most_attempts = attempts
        self._memory = Memory()
        self._http = httpx2.AsyncClient(**options_of(url, timeout=timeout, key=key, headers=headers))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send a call, repeating it where that is safe and may help, and return what the answer says.

        Raises:
            ApiError: the answer is a refusal.
            Unreachable: nobody answers.
        """
        return call.result(await self._answer(call, most=self._most_attempts))

    async def send_raw(self, call: Call[Any]) -> Any:
        """Send a call and return the answer's JSON as it is; raises as ``send``."""
        return await self.send(replace(call, read=raw))

    async def run(self, flow: Flow[T]) -> T:
        """Send the calls of a flow, each after the answer to the one before; raises as ``send``."""
        try:
            call = next(flow)
            while True:
                try:
                    said = await self.send(call)
                except ClientError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(said)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a flow of T returns T

    async def items(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Give the items of a list, fetching the next page when it is needed; raises as ``send``."""
        token: str | None = None
        while True:
            page = await self.send(listing.page(token))
            for item in listing.items(page):
                yield item
            token = getattr(page, "next_page_token", None)
            if token is None:
                return

    async def look(self, call: Call[T]) -> tuple[T, float | None]:
        """Send a call once; return what it says, and the seconds that the service asks one to wait."""
        answer = await self._answer(call, most=1)
        return call.result(answer), told_to_wait(answer.headers, now=datetime.now(UTC))

    @asynccontextmanager
    async def hear(
        self,
        stream: Stream[Schema],
        *,
        last_id: str = "",
        wanted: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[AsyncIterator[tuple[str, Schema]]]:
        """Open a stream, behind the event ``last_id``; gives the ids of events and what they tell, until it ends.

        It ends as well when it is no longer ``wanted``, which each piece of it asks.

        Raises:
            ApiError: there is none, or what it tells cannot be read.
            Unreachable: nobody answers, or it broke.
        """
        opening = opening_of(stream, self.url, timeout=self._timeout, last_id=last_id)
        with losses(self.url):
            async with self._http.sse(**opening) as source:
                response = source.response
                refuse_stream(response, await response.aread() if response.status_code >= 300 else b"")
                response.stream = WantedBytes(response.stream, wanted)
                yield self._told(stream, source)

    async def follow(self, stream: Stream[Schema]) -> AsyncGenerator[Schema, None]:
        """Give what a stream tells, opening it again behind the last event whenever it ends.

        Raises:
            ApiError: there is none, or what it tells cannot be read.
            Unavailable, Unreachable: it could not be heard for ``ABSENCE_SECONDS``.
        """
        watch, last_id = Watch(poll=RETRY_SECONDS, absence=ABSENCE_SECONDS), ""
        while True:
            with watch.bearing_absence():
                async with self.hear(stream, last_id=last_id) as told:
                    with watch.hearing():
                        async for event_id, document in told:
                            last_id = event_id
                            yield document
            await self.pause(watch.pause())

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _told(self, stream: Stream[Schema], source: httpx2.EventSource) -> AsyncIterator[tuple[str, Schema]]:
        if source.response.status_code == 204:
            return
        async for event in source:
            document = told_by(stream, event, str(source.response.url))
            if document is not None:
                yield event.id, document

    async def _answer(self, call: Call[Any], *, most: int) -> Answer:
        attempts, known = Attempts(most=most, repeatable=call.repeatable), self._memory.get(call)
        while True:
            pause: float | None
            try:
                answer = answer_of(await self._http.request(**request_of(call, self.url, known)), known)
            except httpx2.RequestError as error:
                pause = pause_after(error, attempts, self.url)
            else:
                pause = attempts.pause_after_answer(answer.status, answer.headers, now=datetime.now(UTC))
                if pause is None:
                    self._memory.keep(call, answer)
                    return answer
            await self.pause(pause)


def sends(make: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncSender, P], Later[T]]:
    """Return the method that sends what ``make`` makes."""

    async def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.send(make(*args, **kwargs))

    return named_as(make, method, "{}")


def runs(make: Callable[P, Flow[T]]) -> Callable[Concatenate[AsyncSender, P], Later[T]]:
    """Return the method that runs the flow."""

    async def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(make(*args, **kwargs))

    return named_as(make, method, "{}")


def lists(make: Callable[P, Listing[T]]) -> Callable[Concatenate[AsyncSender, P], AsyncIterator[T]]:
    """Return the method that iterates over the list."""

    def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self.items(make(*args, **kwargs))

    return named_as(make, method, "AsyncIterator[{}]")


def holds(make: Callable[P, Call[JobOut]]) -> Callable[Concatenate[AsyncSender, P], Later[AsyncJobHandle]]:
    """Return the method that sends what ``make`` makes and holds on to the job."""

    async def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> AsyncJobHandle:
        return AsyncJobHandle(await self.send(make(*args, **kwargs)), self)

    return named_as(make, method, "AsyncJobHandle")


def holds_many(make: Callable[P, Call[JobsOut]]) -> Callable[Concatenate[AsyncSender, P], Later[list[AsyncJobHandle]]]:
    """Return the method that sends what ``make`` makes and holds on to all jobs."""

    async def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> list[AsyncJobHandle]:
        return [AsyncJobHandle(job, self) for job in (await self.send(make(*args, **kwargs))).items]

    return named_as(make, method, "list[AsyncJobHandle]")


def lists_jobs(
    make: Callable[P, Listing[JobOut]],
) -> Callable[Concatenate[AsyncSender, P], AsyncIterator[AsyncJobHandle]]:
    """Return the method that iterates over jobs to hold on to."""

    def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[AsyncJobHandle]:
        return (AsyncJobHandle(job, self) async for job in self.items(make(*args, **kwargs)))

    return named_as(make, method, "AsyncIterator[AsyncJobHandle]")


def follows(
    make: Callable[P, Stream[Any]],
) -> Callable[Concatenate[AsyncSender, P], AsyncIterator[Edition | AsyncJobHandle]]:
    """Return the method that follows the stream, with jobs to hold on to."""

    async def method(
        self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[Edition | AsyncJobHandle]:
        async with aclosing(self.follow(make(*args, **kwargs))) as events:
            async for told in events:
                yield AsyncJobHandle(told, self) if isinstance(told, JobOut) else told

    return named_as(make, method, "AsyncIterator[Edition | AsyncJobHandle]")
