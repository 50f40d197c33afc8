"""A job that a program holds on to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from app.api.schemas.common import JobProblem
from app.api.schemas.jobs import JobOut
from app.client.call import Call, Schema, Stream
from app.client.calls import jobs as calls
from app.client.errors import JobCancelled, JobFailed
from app.client.watch import ABSENCE_SECONDS, Watch
from app.domain.job import FINAL_STATES

if TYPE_CHECKING:
    from app.client.progress import JobBar

_POLL_SECONDS = 1.0
_TITLES = {"train": "Training", "tune": "Searching", "backtest": "Judging", "refresh": "Refreshing"}

T = TypeVar("T")


class Sends(Protocol):
    """What a handle needs of its client."""

    def send(self, call: Call[T]) -> T: ...  # noqa: D102
    def look(self, call: Call[T]) -> tuple[T, float | None]: ...  # noqa: D102
    def hear(  # noqa: D102
        self, stream: Stream[Schema], *, wanted: Callable[[], bool]
    ) -> AbstractContextManager[Iterator[tuple[str, Schema]]]: ...
    def pause(self, seconds: float) -> None: ...  # noqa: D102


class AsyncSends(Protocol):
    """What a handle needs of its client, when that is an asynchronous one."""

    async def send(self, call: Call[T]) -> T: ...  # noqa: D102
    async def look(self, call: Call[T]) -> tuple[T, float | None]: ...  # noqa: D102
    def hear(  # noqa: D102
        self, stream: Stream[Schema], *, wanted: Callable[[], bool]
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, Schema]]]: ...
    async def pause(self, seconds: float) -> None: ...  # noqa: D102


class KnownJob:
    """A job as it was last seen; ``document`` is the whole of it."""

    def __init__(self, document: JobOut) -> None:
        self.document = document
        self.deduplicated = document.deduplicated

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.kind} {self.ticker or ''} {self.state}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self.document.job_id

    @property
    def kind(self) -> str:
        """``train``, ``backtest``, ``tune`` or ``refresh``."""
        return self.document.kind

    @property
    def ticker(self) -> str | None:
        """Its ticker; ``None`` when it is of several."""
        return self.document.ticker

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        return self.document.state

    @property
    def is_over(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL_STATES

    @property
    def progress(self) -> dict[str, Any] | None:
        """``stage``, ``fraction`` of it, and what the stage tells."""
        return self.document.progress

    @property
    def result(self) -> Any:
        """What came of it, by its kind; ``None`` until it has succeeded."""
        return self.document.result

    @property
    def error(self) -> JobProblem | None:
        """Why it failed."""
        return self.document.error

    @property
    def title(self) -> str:
        """What it does, in words."""
        return f"{_TITLES.get(self.kind, self.kind)} {self.ticker or ''}".rstrip()

    def raise_unless_succeeded(self) -> None:
        """Raise what became of a job that is over.

        Raises:
            JobFailed: it failed; ``problem`` says why.
            JobCancelled: somebody cancelled it.
        """
        if self.state == "succeeded":
            return
        detail = f"The job was {self.state}."
        nothing_said = {"code": self.state, "title": self.state.capitalize(), "detail": detail}
        problem = self.error.model_dump(mode="json") if self.error else nothing_said
        raise (JobCancelled if self.state == "cancelled" else JobFailed)(problem, self.document)

    def _streams(self, watch: Watch) -> bool:
        return watch.streams() and getattr(self.document.links, "events", None) is not None


class JobHandle(KnownJob):
    """A job, to be looked at, waited for and cancelled."""

    def __init__(self, document: JobOut, client: Sends) -> None:
        super().__init__(document)
        self._client = client

    def refresh(self) -> JobHandle:
        """Look at the job anew, and return this handle.

        Raises:
            NotFound: it is gone.
            Unavailable, Unreachable: nobody could answer, and repeating did not help.
        """
        self.document = self._client.send(calls.job(self.id))
        return self

    def cancel(self) -> JobHandle:
        """Cancel it, or ask for its end if it runs; return this handle.

        Raises:
            Conflict: it is over already.
            Unavailable, Unreachable: nobody answered; ``refresh`` tells whether it was cancelled.
        """
        self.document = self._client.send(calls.cancel(self.id))
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        poll: float = _POLL_SECONDS,
        progress: bool = False,
        on_change: Callable[[JobHandle], object] | None = None,
        absence: float = ABSENCE_SECONDS,
    ) -> JobHandle:
        """Wait until the job is over, and return this handle.

        It follows the job's events, or looks every ``poll`` seconds where there are none and when less than half a
        minute of ``timeout`` is left. ``progress`` shows a bar;
        ``on_change`` is called with this handle whenever it has changed. All times are in seconds.

        Raises:
            JobFailed, JobCancelled: it is over, and nothing came of it.
            TimeoutError: it is not over after ``timeout``; it goes on all the same.
            Unavailable, Unreachable: nobody answered for ``absence``.
        """
        watch = Watch(timeout=timeout, poll=poll, absence=absence)
        with _bar(self.title, progress) as bar:
            _show(bar, self)
            for document in self._documents(watch):
                if document != self.document:
                    self.document = document
                    _show(bar, self)
                    _tell(on_change, self)
        self.raise_unless_succeeded()
        return self

    def _documents(self, watch: Watch) -> Iterator[JobOut]:
        """Give the job as it becomes known, by events or by looks, until it is over."""
        while not self.is_over:
            if self._streams(watch):
                yield from self._told(watch)
            if self.is_over:
                return
            self._client.pause(watch.pause())
            with watch.bearing_absence():
                document, told_to_wait = self._client.look(calls.job(self.id))
                watch.saw(told_to_wait)
                yield document

    def _told(self, watch: Watch) -> Iterator[JobOut]:
        hearing = self._client.hear(calls.events_of(self.id), wanted=watch.streams)
        with watch.bearing_breaks(), hearing as told, watch.hearing():
            for _, document in told:
                yield document
                if self.is_over:
                    return


class AsyncJobHandle(KnownJob):
    """A job, to be looked at, waited for and cancelled; each of it is awaited."""

    def __init__(self, document: JobOut, client: AsyncSends) -> None:
        super().__init__(document)
        self._client = client

    async def refresh(self) -> AsyncJobHandle:
        """As ``JobHandle.refresh``."""
        self.document = await self._client.send(calls.job(self.id))
        return self

    async def cancel(self) -> AsyncJobHandle:
        """As ``JobHandle.cancel``."""
        self.document = await self._client.send(calls.cancel(self.id))
        return self

    async def wait(
        self,
        timeout: float | None = None,
        *,
        poll: float = _POLL_SECONDS,
        progress: bool = False,
        on_change: Callable[[AsyncJobHandle], object] | None = None,
        absence: float = ABSENCE_SECONDS,
    ) -> AsyncJobHandle:
        """As ``JobHandle.wait``; other tasks run meanwhile."""
        watch = Watch(timeout=timeout, poll=poll, absence=absence)
        with _bar(self.title, progress) as bar:
            _show(bar, self)
            async with aclosing(self._documents(watch)) as documents:
                async for document in documents:
                    if document != self.document:
                        self.document = document
                        _show(bar, self)
                        _tell(on_change, self)
        self.raise_unless_succeeded()
        return self

    async def _documents(self, watch: Watch) -> AsyncGenerator[JobOut, None]:
        while not self.is_over:
            if self._streams(watch):
                async with aclosing(self._told(watch)) as documents:
                    async for document in documents:
                        yield document
            if self.is_over:
                return
            await self._client.pause(watch.pause())
            with watch.bearing_absence():
                document, told_to_wait = await self._client.look(calls.job(self.id))
                watch.saw(told_to_wait)
                yield document

    async def _told(self, watch: Watch) -> AsyncGenerator[JobOut, None]:
        hearing = self._client.hear(calls.events_of(self.id), wanted=watch.streams)
        with watch.bearing_breaks():
            async with hearing as told:
                with watch.hearing():
                    async for _, document in told:
                        yield document
                        if self.is_over:
                            return


def _bar(title: str, wanted: bool) -> AbstractContextManager[JobBar | None]:
    if not wanted:
        return nullcontext()
    # Most waits show nothing, and what draws the bar is slow to load.
    from app.client.progress import JobBar

    return JobBar(title)


def _show(bar: JobBar | None, job: KnownJob) -> None:
    if bar:
        bar.show(job)


def _tell(on_change: Callable[[Any], object] | None, job: KnownJob) -> None:
    if on_change:
        on_change(job)
