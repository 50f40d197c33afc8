"""The one watcher of the process, which looks at the registry and tells those who listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass

import structlog
from starlette.concurrency import run_in_threadpool

from app.api.listeners import Listener
from app.api.sight import Read, Sight, look
from app.errors import AppError, Limited, Unavailable
from app.forecasting.services import Services
from app.observability.metrics import EVENT_STREAMS

MAX_STREAMS = 256
"""Streams that may be open at once, in a process."""
MAX_STREAMS_OF_ONE = 16
"""The same of one key, or of one address without."""
LOOK_SECONDS = 0.25
_AWAY_SECONDS = 1.0  # between looks while the registry does not answer
_LOG = structlog.get_logger(__name__)


class TooManyStreams(Unavailable):
    """No more streams can be open at once here; come again later, or ask now and then instead."""

    title = "Too many streams"


class TooManyOwnStreams(Limited):
    """The caller has as many streams open as one may; close one, or ask now and then instead."""

    title = "Too many streams of one caller"


class Watch:
    """Looks at the registry while somebody listens, and tells all of them; used by the event loop's thread alone.

    ``saw`` is told every edition before any listener is.
    """

    def __init__(self, services: Services, saw: Callable[[int], None]) -> None:
        self._services = services
        self._saw = saw
        self._places: set[Listener] = set()  # of all who listen or are about to
        self._coming: dict[Listener, _Coming] = {}
        self._listeners: set[Listener] = set()
        self._sight: Sight | None = None
        self._somebody_comes = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._is_stopped = False

    @property
    def is_looking(self) -> bool:
        """Whether the registry is being looked at again and again."""
        return self._looking is not None and not self._looking.done()

    async def join(self, listener: Listener, also: Read) -> None:
        """Have ``listener`` told what is active and what ``also`` reads, and from then on what changes.

        All who come while one look is under way share the next, which is at once.

        Raises:
            TooManyOwnStreams: as many listen for this owner as may; let one of them go.
            TooManyStreams: as many listen as may; try again later.
            StoreUnavailable: the registry does not answer; try again later. Whatever ``also`` raises.
        """
        if sum(place.owner == listener.owner != "" for place in self._places) >= MAX_STREAMS_OF_ONE:
            raise TooManyOwnStreams("You have as many streams open as one may.", most=MAX_STREAMS_OF_ONE)
        if len(self._places) >= MAX_STREAMS:
            raise TooManyStreams("As many streams are open as may be.", most=MAX_STREAMS)
        self._places.add(listener)
        EVENT_STREAMS.inc()
        coming = self._coming[listener] = _Coming(listener, also, asyncio.get_running_loop().create_future())
        self._somebody_comes.set()
        if not self.is_looking:
            # In a context of its own: it outlives the request that it begins with.
            self._looking = asyncio.get_running_loop().create_task(self._keep_looking(), context=Context())
        try:
            await coming.is_told
        except BaseException:  # who is called off waits no more either
            self.leave(listener)
            raise

    def leave(self, listener: Listener) -> None:
        """Tell ``listener`` nothing more."""
        self._coming.pop(listener, None)
        self._listeners.discard(listener)
        if listener in self._places:
            self._places.remove(listener)
            EVENT_STREAMS.dec()

    def stop(self) -> None:
        """Let all streams end, those that are still to come as well."""
        self._is_stopped = True
        self._close_all()

    async def _keep_looking(self) -> None:
        """Look until nobody listens; what then was known is forgotten."""
        is_away = False
        while self._places:
            coming, self._coming = list(self._coming.values()), {}
            self._somebody_comes.clear()
            try:
                await self._look(coming)
                is_away = False
            except AppError as error:
                _refuse(coming, error)
                if not is_away:
                    _LOG.warning("watch_sees_nothing", **error.to_problem())
                is_away = True
            except Exception as error:
                _LOG.exception("watch_failed")
                _refuse(coming, error)
                self._close_all()  # the clients come again, and with them another try
                self._sight = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_AWAY_SECONDS if is_away else LOOK_SECONDS):
                    await self._somebody_comes.wait()
        self._sight = None

    async def _look(self, coming: Sequence[_Coming]) -> None:
        """Look once, tell all who listen what has changed, and those who are ``coming`` what there is."""
        reads, root_paths = [one.also for one in coming], {one.root_path for one in self._places}
        sight = await run_in_threadpool(look, self._services, self._sight, also=reads, root_paths=root_paths)
        self._saw(sight.edition)
        self._sight = sight
        for listener in self._listeners:
            if not listener.may_go_on():
                listener.close()
            listener.tell(sight, sight.changed)
        for one, also in zip(coming, sight.also, strict=True):
            if isinstance(also, AppError):
                _refuse([one], also)
            elif not one.is_told.done():  # else it has gone meanwhile
                one.listener.tell(sight, [*also, *sight.active.values()])
                self._listeners.add(one.listener)
                one.is_told.set_result(None)
        if self._is_stopped:
            self._close_all()

    def _close_all(self) -> None:
        for listener in self._listeners:
            listener.close()


@dataclass(frozen=True)
class _Coming:
    """Who waits for a first look, and what it is to read besides."""

    listener: Listener
    also: Read
    is_told: asyncio.Future[None]


def _refuse(coming: Sequence[_Coming], error: Exception) -> None:
    for one in coming:
        if not one.is_told.done():
            one.is_told.set_exception(error)
