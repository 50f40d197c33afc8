"""How often one caller may ask: fixed windows, counted in memory or in Redis."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog

from app.errors import TooManyRequests

MOST_CALLERS = 10_000
"""Of whom something is remembered here, read and write apart."""
_ANSWER_SECONDS = 0.25  # longest wait for Redis
_REST_SECONDS = 5.0  # without it, before it is asked again
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_LOG = structlog.get_logger(__name__)

Clock = Callable[[], float]
"""Seconds that only ever grow."""
Name = tuple[str, bool]
"""Whose requests are counted, and whether they are those that write."""
_Kept = TypeVar("_Kept")


@dataclass(frozen=True)
class Limit:
    """``most`` requests in ``seconds``."""

    most: int
    seconds: int


class Counts(Protocol):
    """Counts the requests of every name in windows, each of which begins with the first request after the last one."""

    async def take(self, name: Name, limit: Limit) -> bool:
        """Count a request; whether it is within the limit."""

    async def seconds_left(self, name: Name, limit: Limit) -> float:
        """Return how long the window of ``name`` lasts on."""


class Limiter:
    """Counts requests; ``reads`` and ``writes`` are limits such as ``6000/minute``, empty ones are none.

    With ``storage`` ``memory`` each process counts for itself; a Redis counts for all of them.
    """

    def __init__(self, *, reads: str, writes: str, storage: str, clock: Clock = time.monotonic) -> None:
        self._texts = {False: reads, True: writes}
        self._limits = {is_write: _limit_in(text) for is_write, text in self._texts.items()}
        self._counts: Counts = InMemory(clock) if storage == "memory" else InRedis(storage, clock)

    async def admits(self, who: str, *, is_write: bool) -> bool:
        """Count a request of ``who``; whether it is among those that may come."""
        limit = self._limits[is_write]
        return limit is None or await self._counts.take((who, is_write), limit)

    async def refusal(self, who: str, *, is_write: bool) -> TooManyRequests:
        """Return the error for who was not admitted."""
        limit = self._limits[is_write]
        assert limit  # noqa: S101 - else all are admitted
        seconds = max(math.ceil(await self._counts.seconds_left((who, is_write), limit)), 1)
        headers = {
            "RateLimit-Limit": str(limit.most),
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(seconds),
        }
        detail = f"More than {self._texts[is_write]} requests came; ask again in {seconds} s."
        return TooManyRequests(detail, most=limit.most, retry_after_seconds=seconds, headers=headers)


class InMemory:
    """Counts in this process; the library's own memory has no bound, and is walked through each time.

    Of more than ``MOST_CALLERS`` the window that began first is forgotten, so that no flood of addresses fills the
    memory; whose it was may ask for as much once more.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[Name, tuple[int, float]] = {}  # how many are left, and until when; the oldest first

    async def take(self, name: Name, limit: Limit) -> bool:
        """Count a request; whether it is within the limit."""
        left, ends = self._windows.get(name, (0, -math.inf))
        now = self._clock()
        if now >= ends:
            left, ends = limit.most, now + limit.seconds
            _keep_newest(self._windows, name, (left, ends))
        if left:
            self._windows[name] = left - 1, ends
        return left > 0

    async def seconds_left(self, name: Name, limit: Limit) -> float:
        """Return how long the window of ``name`` lasts on."""
        return self._windows[name][1] - self._clock() if name in self._windows else limit.seconds


class InRedis:
    """Counts for all processes together. While Redis is away everything passes: to answer matters more than to count.

    A caller's requests are taken from the window by parts, and handed out one by one: asking Redis costs more than most
    answers do. The first part is one request, each next one twice the last, up to a hundredth of the limit: so no
    process holds more than that, nor more than has passed through it, and limits hold to within as much for each.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        # Late: for who counts in Redis it is a tenth of the API's start.
        from limits.aio.storage import RedisStorage

        wait: dict[str, Any] = {"socket_timeout": _ANSWER_SECONDS, "socket_connect_timeout": _ANSWER_SECONDS}
        self._storage = RedisStorage(f"async+{url}", implementation="redispy", key_prefix="morrow", **wait)
        self._clock = clock
        self._parts: dict[Name, _Part] = {}  # the one that was asked for longest ago first
        self._taking: dict[Name, asyncio.Task[bool]] = {}
        self._rests_until = -math.inf
        self._is_away = False

    async def take(self, name: Name, limit: Limit) -> bool:
        """Count a request; whether it is within the limit."""
        while not self._hand_out(name):
            if self._is_away and self._clock() < self._rests_until:
                return True
            # Who comes meanwhile waits for the part that is on its way, as long as whoever sent for it.
            if not await asyncio.shield(self._taking.get(name) or self._start_taking(name, limit)):
                return False
        return True

    async def seconds_left(self, name: Name, limit: Limit) -> float:
        """Return how long the window of ``name`` lasts on; all of it when Redis does not say."""
        try:
            return await self._storage.get_expiry(_key(name, limit)) - time.time()
        except Exception as error:  # whatever a driver raises
            self._rest(error)
            return limit.seconds

    def _hand_out(self, name: Name) -> bool:
        """Take a request from the part that is here, if any is left."""
        part = self._parts.get(name)
        if part is None or not part.left or self._clock() >= part.ends:
            return False
        part.left -= 1
        _keep_newest(self._parts, name, part)
        return True

    def _start_taking(self, name: Name, limit: Limit) -> asyncio.Task[bool]:
        # A task, so that whoever goes away takes nothing from those who wait as well.
        taking = self._taking[name] = asyncio.get_running_loop().create_task(self._take_part(name, limit))
        return taking

    async def _take_part(self, name: Name, limit: Limit) -> bool:
        """Take the next part of the window; whether there was anything left, or nobody knows."""
        now, last = self._clock(), self._parts.get(name)
        size = max(min(2 * last.size, limit.most // 100), 1) if last and now < last.ends else 1
        try:
            count = await self._storage.incr(_key(name, limit), limit.seconds, size)
        except Exception as error:  # whatever a driver raises
            self._rest(error)
            return True
        finally:
            del self._taking[name]
        self._is_away = False
        left = min(size, limit.most - (count - size))
        if left > 0:
            _keep_newest(self._parts, name, _Part(size, left, now + limit.seconds))
        return left > 0

    def _rest(self, error: Exception) -> None:
        self._rests_until = self._clock() + _REST_SECONDS
        if not self._is_away:
            _LOG.warning("rate_limits_are_off", reason=f"{type(error).__name__}: {error}")
        self._is_away = True


@dataclass
class _Part:
    """Requests taken from a window and not yet handed out: ``left`` of ``size``, until it ``ends``."""

    size: int
    left: int
    ends: float


def _limit_in(text: str) -> Limit | None:
    most, _, period = text.partition("/")
    return Limit(int(most), _SECONDS[period]) if text else None


def _key(name: Name, limit: Limit) -> str:
    who, is_write = name
    return f"{'write' if is_write else 'read'}/{limit.seconds}/{who}"


def _keep_newest(memory: dict[Name, _Kept], name: Name, kept: _Kept) -> None:
    """Keep something of ``name`` as the newest; of more callers than may be, what has been there longest goes."""
    memory.pop(name, None)
    if len(memory) >= MOST_CALLERS:
        del memory[next(iter(memory))]
    memory[name] = kept
