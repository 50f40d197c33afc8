"""Forecasts as ready bytes in memory, never older than the registry's edition."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from datetime import datetime

from app.api.documents import Ready
from app.observability.metrics import FORECAST_CACHE


class HotAnswers:
    """Ready answers by key; all are dropped when the registry shows a later edition.

    ``read_edition`` is one tiny read, done at most once in ``look_seconds``. Whoever changes an
    alias or shows a finished job passes the edition on with ``saw``, so that the next answer of this
    process already knows. Thread-safe.
    """

    def __init__(
        self, read_edition: Callable[[], int], *, look_seconds: float = 0.1, capacity_bytes: int = 64_000_000
    ) -> None:
        self._read_edition = read_edition
        self._look_seconds = look_seconds
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._entries: dict[Hashable, Ready] = {}
        self._edition = -1
        self._next_look = 0.0
        self._lock = threading.Lock()
        self._hit, self._miss = FORECAST_CACHE.labels("hit"), FORECAST_CACHE.labels("miss")

    @property
    def look_due(self) -> bool:
        """Whether the registry was not asked for ``look_seconds``."""
        return time.monotonic() >= self._next_look

    def look(self) -> None:
        """Ask the registry for its edition."""
        self._next_look = time.monotonic() + self._look_seconds
        self.saw(self._read_edition())

    def saw(self, edition: int) -> None:
        """Take note of an edition read from the registry; a later one empties the memory."""
        with self._lock:
            if edition > self._edition:
                self._edition = edition
                self._entries, self._bytes = {}, 0

    def get(self, key: Hashable, *, now: datetime) -> Ready | None:
        """Return the answer under ``key`` while time has not changed it."""
        entry = self._entries.get(key)
        if entry is None or (entry.expires_at is not None and entry.expires_at <= now):
            self._miss.inc()
            return None
        self._hit.inc()
        return entry

    def put(self, key: Hashable, entry: Ready, *, edition: int) -> None:
        """Keep ``entry``, made while the registry stood at ``edition``; the oldest give way to it."""
        self.saw(edition)
        with self._lock:
            if edition == self._edition:
                self._drop(key)
                self._entries[key] = entry
                self._bytes += len(entry.body)
                while self._bytes > self._capacity_bytes:
                    self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        self._bytes -= len(entry.body) if entry else 0
