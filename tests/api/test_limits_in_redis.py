"""Requests that are counted in Redis: exactly, for all processes together, and whoever asks beside."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from pydantic import ValidationError

from app.api import limiter as limiting
from app.api.limiter import Limiter
from app.settings import Settings
from tests.support.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.redis

T = TypeVar("T")


class Seconds:
    """A clock that stands still until the test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    # What is exact is so while Redis answers in time; on a busy machine all would pass, as when it is away.
    monkeypatch.setattr(limiting, "_ANSWER_SECONDS", 30.0)
    with redis_server() as server:
        yield server


def processes(redis: RedisServer, reads: str, *, count: int = 1, clock: Callable[[], float]) -> list[Limiter]:
    """What as many processes count with."""
    return [Limiter(reads=reads, writes="", storage=redis.url, clock=clock) for _ in range(count)]


def counted(work: Awaitable[T], *limiters: Limiter) -> T:
    """Do the work, and close what the limiters have opened for it."""

    async def closing() -> T:
        try:
            return await work
        finally:
            for limiter in limiters:
                await limiter._counts._storage.bridge.storage.aclose()

    return asyncio.run(closing())


def asks(limiter: Limiter, who: str = "one") -> Awaitable[bool]:
    return limiter.admits(who, is_write=False)


def test_of_requests_that_come_at_once_exactly_as_many_pass_as_may(redis: RedisServer) -> None:
    (limiter,) = processes(redis, "1030/hour", clock=Seconds())

    async def at_once() -> Counter[bool]:
        return Counter(await asyncio.gather(*(asks(limiter) for _ in range(1500))))

    assert counted(at_once(), limiter) == {True: 1030, False: 470}


def test_of_several_processes_each_counts_to_within_a_hundredth(redis: RedisServer) -> None:
    several = processes(redis, "1000/hour", count=4, clock=Seconds())

    async def at_once() -> int:
        return sum(await asyncio.gather(*(asks(several[number % 4]) for number in range(2000))))

    assert 1000 - 4 * 10 <= counted(at_once(), *several) <= 1000


def test_many_processes_that_are_seldom_asked_use_up_no_more_than_is_asked(redis: RedisServer) -> None:
    seconds = Seconds()
    many = processes(redis, "6000/minute", count=12, clock=seconds)

    async def two_a_second() -> list[bool]:
        passed = []
        for number in range(360):
            passed.append(await asks(many[number % 12]))
            seconds.now += 0.5
        return passed

    assert all(counted(two_a_second(), *many))


def test_a_flood_of_others_makes_no_request_count_more_than_once(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiting, "MOST_CALLERS", 10)
    (limiter,) = processes(redis, "6000/hour", clock=Seconds())

    async def flooded() -> list[bool]:
        passed = []
        for number in range(120):
            passed.append(await asks(limiter))
            await asyncio.gather(*(asks(limiter, f"{number} {other}") for other in range(20)))
        return passed

    assert all(counted(flooded(), limiter))


def test_who_goes_away_while_a_part_is_on_its_way_takes_nothing_from_the_others(redis: RedisServer) -> None:
    (limiter,) = processes(redis, "5/hour", clock=Seconds())

    async def first_goes() -> list[bool]:
        first, *others = [asyncio.ensure_future(asks(limiter)) for _ in range(6)]
        await asyncio.sleep(0)
        first.cancel()
        return await asyncio.gather(*others)

    assert counted(first_goes(), limiter) == [True] * 5


@pytest.mark.parametrize(
    "address", ["redis://host:notaport/1", "redis://host:70000/1", "redis://host:6379/one", "redis://:6379/1"]
)
def test_an_address_that_no_client_can_read_is_refused_with_the_settings(address: str) -> None:
    with pytest.raises(ValidationError, match="neither memory nor redis://host:port/db"):
        Settings(rate_limit_storage=address)


@pytest.mark.parametrize("address", ["memory", "redis://host", "rediss://:secret@[::1]:6379/1?ssl_cert_reqs=none"])
def test_an_address_may_leave_out_what_has_a_default(address: str) -> None:
    assert Settings(rate_limit_storage=address).rate_limit_storage == address
