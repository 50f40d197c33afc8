"""Sending calls one after the other, and how a call becomes a method of the client."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx2

from app.api.schemas.jobs import JobOut, JobsOut
from app.client.attempts import Attempts, told_to_wait
from app.client.call import Answer, Call, Flow, Listing, Schema, Stream, raw
from app.client.documents import Edition
from app.client.errors import ClientError
from app.client.jobs import JobHandle
from app.client.memory import Memory
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


class Sender:
    """Sends calls to the service at ``url``; may be shared by threads, and is closed at the end of its block."""

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
        self._http = httpx2.Client(**options_of(url, timeout=timeout, key=key, headers=headers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send a call, repeating it where that is safe and may help, and return what the answer says.

        Raises:
            ApiError: the answer is a refusal.
            Unreachable: nobody answers.
        """
        return call.result(self._answer(call, most=self._most_attempts))

    def send_raw(self, call: Call[Any]) -> Any:
        """Send a call and return the answer's JSON as it is; raises as ``send``."""
        return self.send(replace(call, read=raw))

    def run(self, flow: Flow[T]) -> T:
        """Send the calls of a flow, each after the answer to the one before; raises as ``send``."""
        try:
            call = next(flow)
            while True:
                try:
                    said = self.send(call)
                except ClientError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(said)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a flow of T returns T

    def items(self, listing: Listing[T]) -> Iterator[T]:
        """Give the items of a list, fetching the next page when it is needed; raises as ``send``."""
        token: str | None = None
        while True:
            page = self.send(listing.page(token))
            yield from listing.items(page)
            token = getattr(page, "next_page_token", None)
            if token is None:
                return

    def look(self, call: Call[T]) -> tuple[T, float | None]:
        """Send a call once; return what it says, and the seconds that the service asks one to wait."""
        answer = self._answer(call, most=1)
        return call.result(answer), told_to_wait(answer.headers, now=datetime.now(UTC))

    @contextmanager
    def hear(
        self,
        stream: Stream[Schema],
        *,
        last_id: str = "",
        wanted: Callable[[], bool] = lambda: True,
    ) -> Iterator[Iterator[tuple[str, Schema]]]:
        """Open a stream, behind the event ``last_id``; gives the ids of events and what they tell, until it ends.

        It ends as well when it is no longer ``wanted``, which each piece of it asks.

        Raises:
            ApiError: there is none, or what it tells cannot be read.
            Unreachable: nobody answers, or it broke.
        """
        opening = opening_of(stream, self.url, timeout=self._timeout, last_id=last_id)
        with losses(self.url), self._http.sse(**opening) as source:
            response = source.response
            refuse_stream(response, response.read() if response.status_code >= 300 else b"")
            response.stream = WantedBytes(response.stream, wanted)
            yield self._told(stream, source)

    def follow(self, stream: Stream[Schema]) -> Iterator[Schema]:
        """Give what a stream tells, opening it again behind the last event whenever it ends.

        Raises:
            ApiError: there is none, or what it tells cannot be read.
            Unavailable, Unreachable: it could not be heard for ``ABSENCE_SECONDS``.
        """
        watch, last_id = Watch(poll=RETRY_SECONDS, absence=ABSENCE_SECONDS), ""
        while True:
            hearing = self.hear(stream, last_id=last_id)
            with watch.bearing_absence(), hearing as told, watch.hearing():
                for event_id, document in told:
                    last_id = event_id
                    yield document
            self.pause(watch.pause())

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def _told(self, stream: Stream[Schema], source: httpx2.EventSource) -> Iterator[tuple[str, Schema]]:
        if source.response.status_code == 204:
            return
        for event in source:
            document = told_by(stream, event, str(source.response.url))
            if document is not None:
                yield event.id, document

    def _answer(self, call: Call[Any], *, most: int) -> Answer:
        attempts, known = Attempts(most=most, repeatable=call.repeatable), self._memory.get(call)
        while True:
            pause: float | None
            try:
                answer = answer_of(self._http.request(**request_of(call, self.url, known)), known)
            except httpx2.RequestError as error:
                pause = pause_after(error, attempts, self.url)
            else:
                pause = attempts.pause_after_answer(answer.status, answer.headers, now=datetime.now(UTC))
                if pause is None:
                    self._memory.keep(call, answer)
                    return answer
            self.pause(pause)


def sends(make: Callable[P, Call[T]]) -> Callable[Concatenate[Sender, P], T]:
    """Return the method that sends what ``make`` makes."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.send(make(*args, **kwargs))

    return named_as(make, method, "{}")


def runs(make: Callable[P, Flow[T]]) -> Callable[Concatenate[Sender, P], T]:
    """Return the method that runs the flow."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(make(*args, **kwargs))

    return named_as(make, method, "{}")


def lists(make: Callable[P, Listing[T]]) -> Callable[Concatenate[Sender, P], Iterator[T]]:
    """Return the method that iterates over the list."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self.items(make(*args, **kwargs))

    return named_as(make, method, "Iterator[{}]")


def holds(make: Callable[P, Call[JobOut]]) -> Callable[Concatenate[Sender, P], JobHandle]:
    """Return the method that sends what ``make`` makes and holds on to the job."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle:
        return JobHandle(self.send(make(*args, **kwargs)), self)

    return named_as(make, method, "JobHandle")


def holds_many(make: Callable[P, Call[JobsOut]]) -> Callable[Concatenate[Sender, P], list[JobHandle]]:
    """Return the method that sends what ``make`` makes and holds on to all jobs."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> list[JobHandle]:
        return [JobHandle(job, self) for job in self.send(make(*args, **kwargs)).items]

    return named_as(make, method, "list[JobHandle]")


def lists_jobs(make: Callable[P, Listing[JobOut]]) -> Callable[Concatenate[Sender, P], Iterator[JobHandle]]:
    """Return the method that iterates over jobs to hold on to."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[JobHandle]:
        return (JobHandle(job, self) for job in self.items(make(*args, **kwargs)))

    return named_as(make, method, "Iterator[JobHandle]")


def follows(make: Callable[P, Stream[Any]]) -> Callable[Concatenate[Sender, P], Iterator[Edition | JobHandle]]:
    """Return the method that follows the stream, with jobs to hold on to."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Edition | JobHandle]:
        for told in self.follow(make(*args, **kwargs)):
            yield JobHandle(told, self) if isinstance(told, JobOut) else told

    return named_as(make, method, "Iterator[Edition | JobHandle]")


def named_as(make: Callable[..., Any], method: Callable[P, T], returns: str) -> Callable[P, T]:
    """Give ``method`` the name, the words and the parameters of ``make``, behind ``self``, for those who ask for help.

    ``{}`` in ``returns`` stands for what the call that ``make`` makes is of.
    """
    signature = inspect.signature(make)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    made = str(signature.return_annotation).partition("[")[2].removesuffix("]")
    update_wrapper(method, make)
    shown = signature.replace(parameters=[this, *signature.parameters.values()], return_annotation=returns.format(made))
    method.__signature__ = shown  # type: ignore[attr-defined]  # which inspect asks for first
    return method
