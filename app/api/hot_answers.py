"""Forecasts as ready bytes in memory, never older than the registry's edition."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from app.api.accept import accept_of, prefers_csv
from app.api.documents import Ready
from app.errors import StoreUnavailable
from app.observability.metrics import FORECAST_CACHE

MANY = "/v1/forecasts"
"""The one path whose answer comes in more than one form."""

Key = tuple[str, bytes, bool]
"""A request for a forecast as it was written: path, query, and whether it is to be CSV by what the client prefers."""

_OVERHEAD_BYTES = 1500  # what an answer takes beside its body: its headers, twice
_PATIENCE_SECONDS = 1.0  # for a registry that does not answer
_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Made:
    """An answer made while the registry stood at ``edition``; ``None``: it is for one request alone."""

    ready: Ready
    edition: int | None


@dataclass(frozen=True)
class Kept:
    """An answer in memory, and the template of the route that made it."""

    ready: Ready
    route: str


class HotAnswers:
    """Ready answers by request; all are dropped when the registry shows a later edition.

    ``read_edition`` is one tiny read, done at most once in ``look_seconds`` by whoever asks first after that:
    nobody else waits, and nobody for more than a second; while a look lasts there is no other. Whoever changes an
    alias or shows a finished job passes the edition on with ``saw``, so that the next answer of this process already
    knows. ``saw``, ``get`` and ``put`` may be called by any thread, the rest by that of the event loop. Readers take
    no lock: a new edition is one assignment.
    """

    def __init__(
        self,
        read_edition: Callable[[], int],
        clock: Callable[[], datetime],
        *,
        look_seconds: float = 0.1,
        capacity_bytes: int = 64_000_000,
    ) -> None:
        self._read_edition = read_edition
        self.clock = clock
        self._look_seconds = look_seconds
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._entries: dict[Key, Kept] = {}
        self._edition = -1
        self._next_look = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._being_made: dict[tuple[Key, int], asyncio.Event] = {}
        self._hit, self._miss = FORECAST_CACHE.labels("hit"), FORECAST_CACHE.labels("miss")

    async def answer(self, key: Key | None, make: Callable[[], Made], *, route: str) -> Ready:
        """Return the answer under ``key``, else ``make`` it in a thread and keep it; ``None`` is never kept.

        ``route`` is the template of the path by which it was asked for.

        Many who miss the same answer at once wait for the first one to make it.

        Raises:
            StoreUnavailable: the registry does not answer, nor is there one in memory; try again later. Whatever
                ``make`` raises.
        """
        if time.monotonic() >= self._next_look and not self._is_looking():
            await self._look_for_all()
        if key is None:
            return (await run_in_threadpool(make)).ready
        if being_made := self._being_made.get((key, self._edition)):
            await being_made.wait()
        if found := self.get(key):
            return found.ready
        self._miss.inc()
        return await self._made(key, make, route)

    def at_hand(self, key: Key) -> Kept | None:
        """Return the answer under ``key`` if nothing has to be asked for it first."""
        return self.get(key) if time.monotonic() < self._next_look or self._is_looking() else None

    def get(self, key: Key) -> Kept | None:
        """Return the answer under ``key`` while time has not changed it."""
        entry = self._entries.get(key)
        expires_at = entry.ready.expires_at if entry else None
        if entry is None or (expires_at is not None and expires_at <= self.clock()):
            return None
        self._hit.inc()
        return entry

    def look(self) -> None:
        """Ask the registry for its edition."""
        self.saw(self._read_edition())

    def saw(self, edition: int) -> None:
        """Take note of an edition read from the registry; a later one empties the memory."""
        with self._lock:
            if edition > self._edition:
                self._edition = edition
                self._entries, self._bytes = {}, 0

    def put(self, key: Key, entry: Kept, *, edition: int) -> None:
        """Keep ``entry``, made while the registry stood at ``edition``; the oldest give way to it."""
        self.saw(edition)
        with self._lock:
            if edition == self._edition:
                self._drop(key)
                self._entries[key] = entry
                self._bytes += _size(key, entry)
                while self._bytes > self._capacity_bytes:
                    self._drop(next(iter(self._entries)))

    def _is_looking(self) -> bool:
        return self._looking is not None and not self._looking.done()

    async def _look_for_all(self) -> None:
        """Look, and wait for it; what is in memory stands until somebody knows better."""
        self._next_look = time.monotonic() + self._look_seconds
        # In a context of its own: it may outlive the request that it begins with.
        self._looking = asyncio.get_running_loop().create_task(self._look(), context=Context())
        await asyncio.wait({self._looking}, timeout=_PATIENCE_SECONDS)

    async def _look(self) -> None:
        try:
            await run_in_threadpool(self.look)
        except StoreUnavailable:
            pass  # whoever needs the registry says so
        except Exception:
            _LOG.exception("edition_cannot_be_read")

    async def _made(self, key: Key, make: Callable[[], Made], route: str) -> Ready:
        """Make the answer under ``key``; who comes with a later edition in mind does not wait for this one."""
        at, done = (key, self._edition), asyncio.Event()
        self._being_made[at] = done
        try:
            made = await run_in_threadpool(make)
            if made.edition is not None:
                self.put(key, Kept(made.ready, route), edition=made.edition)
            return made.ready
        finally:
            if self._being_made.get(at) is done:
                del self._being_made[at]
            done.set()

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        self._bytes -= _size(key, entry) if entry else 0


def key_of(request: Request, *known: str) -> Key | None:
    """Return the key of ``request``; ``None`` with a parameter not ``known``: there is no end to their values."""
    if request.query_params.keys() - set(known):
        return None
    return key_in(request.scope, accept_of(request.scope))


def key_in(scope: Scope, accept: bytes | None) -> Key:
    """Return the key of a request with this ``Accept``."""
    path: str = scope["path"]
    return path, scope["query_string"], path.endswith(MANY) and prefers_csv(accept)


def _size(key: Key, entry: Kept) -> int:
    return len(key[0]) + len(key[1]) + len(entry.ready.body) + _OVERHEAD_BYTES
