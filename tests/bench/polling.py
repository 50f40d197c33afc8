"""Stored forecasts under load, beside what a user would pick instead."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.bootstrap import open_services
from app.client import JobHandle
from app.settings import Settings
from tests.api.keyed import make_key
from tests.api.rows import add_version
from tests.bench.closed_loop import Load, load, request_of
from tests.bench.polling_peers import READY_PATH
from tests.bench.processes import running_api
from tests.bench.rows import Row, measured, more, once, within

ONE, MANY = "/v1/forecasts/T00", "/v1/forecasts?tickers=" + ",".join(f"T{n:02}" for n in range(20))
ROUNDS = 15
REQUESTS = 1500  # in a round: a tenth of a second

_LONG_ORDER = {
    "data": {"source": "sample"},
    "spec": {"architecture": "lstm", "units": [50, 50], "window": 60, "epochs": 200, "early_stopping": None},
    "promote": "never",
}
_PATIENCE_SECONDS = 120.0
_BREATH_SECONDS = 0.2  # until those who went on are at full speed


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One kind of request: where it goes, its bytes, and the status of its answers."""

    name: str
    base_url: str
    request: bytes
    status: int = 200


@dataclass(frozen=True, kw_only=True)
class Polled:
    """What one kind of request met in several rounds; the figures are medians, ``rates`` has every round's."""

    name: str
    rates: tuple[float, ...]
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return statistics.median(self.rates)

    def share_of(self, other: Polled) -> float:
        """The rate as a share of another's, round by round: what else the machine does hurts both alike."""
        return statistics.median(one / its for one, its in zip(self.rates, other.rates, strict=True))


def section(home: Path) -> Iterator[Row]:
    """Ask over 64 connections, at rest and while all cores train."""
    asked = {one.name: one for one in polling(home)}
    one, many = asked["one"], asked["many"]
    yield _beside("GET a forecast", one, asked["bare Starlette, one"], at_least=0.8)
    yield _beside("GET a forecast", one, asked["empty FastAPI"], at_least=1.5)
    yield _beside("  unchanged, 304", asked["one, 304"], one, at_least=1.0)
    yield _beside("  by a key", asked["one, by a key"], one, at_least=0.9)
    yield within("  p99", once(one.p99_ms, "ms"), "p50", once(one.p50_ms, "ms"), at_most=3.0)
    yield _beside("GET 20 forecasts", many, asked["bare Starlette, many"], at_least=0.8)
    yield _beside("  unchanged, 304", asked["many, 304"], many, at_least=1.0)
    at_rest, busy = (once(polled.p99_ms, "ms") for polled in while_training(home))
    yield within("GET a forecast while all cores train, p99", busy, "at rest", at_rest, at_most=1.5)


def _beside(what: str, ours: Polled, theirs: Polled, *, at_least: float) -> Row:
    row = more(what, measured(ours.rates, "1/s"), theirs.name, measured(theirs.rates, "1/s"), at_least=at_least)
    return replace(row, ratio=ours.share_of(theirs))


def polling(home: Path) -> list[Polled]:
    """Ask for one forecast and for twenty, and for the same bytes from what a user would pick instead, in turns."""
    store_forecasts(home)
    with _servers(home) as asked:
        for one in asked:
            _load(one, requests=1000)
        rounds = [[_load(one, requests=REQUESTS) for one in asked] for _ in range(ROUNDS)]
    return [_summary(one.name, [each[place] for each in rounds]) for place, one in enumerate(asked)]


def store_forecasts(home: Path) -> None:
    """Register a version with a forecast for each of twenty tickers."""
    services = open_services(Settings(home=home))
    for number in range(20):
        add_version(services, f"T{number:02}", alias="champion")
    services.database.close()


def _make_key(home: Path) -> dict[str, str]:
    """Make a key that may read, and return the header to send; without it, nobody may ask from now on."""
    services = open_services(Settings(home=home))
    _, headers = make_key(services)
    services.database.close()
    return headers


def while_training(home: Path) -> list[Polled]:
    """Ask the whole service for one forecast while each of two workers trains, and while both are held, in turns."""
    with running_api("app", "serve", "--workers", "2", home=home) as (api, pid, _):
        asked = Asked(name="one", base_url=api.url, request=request_of(api.url, ONE))
        jobs = [api.train(ticker, **_LONG_ORDER) for ticker in ("^GSPC", "^IXIC")]
        _wait(jobs, until=lambda job: (job.progress or {}).get("epoch") is not None)
        _load(asked, requests=1000)
        at_rest, busy = [], []
        for _ in range(ROUNDS):
            with _held(_grandchildren(pid)):
                at_rest.append(_load(asked, requests=REQUESTS))
            busy.append(_load(asked, requests=REQUESTS))
        for job in jobs:
            job.cancel()
        _wait(jobs, until=lambda job: job.state == "cancelled")
    return [_summary("at rest", at_rest), _summary("while both cores train", busy)]


@contextlib.contextmanager
def _held(pids: Sequence[int]) -> Iterator[None]:
    """Stop the processes for the length of the block; some come and go, such as one that a worker keeps ready."""
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)
    time.sleep(_BREATH_SECONDS)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _grandchildren(pid: int) -> list[int]:
    """Return what the children of a process have started: the jobs of a service's workers."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    return [one for one, parent in parents.items() if parents.get(parent) == pid]


def _wait(jobs: Sequence[JobHandle], *, until: Callable[[JobHandle], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not all(until(job.refresh()) for job in jobs):
        if time.monotonic() > deadline:
            raise SystemExit(f"the jobs do not get on: {jobs}")
        time.sleep(0.2)


@contextlib.contextmanager
def _servers(home: Path) -> Iterator[list[Asked]]:
    """Run ours and its peers, and yield what they are to be asked."""
    bodies, guarded_home = home / "bodies", home / "guarded"
    shutil.copytree(home, guarded_home, ignore=shutil.ignore_patterns("guarded"))
    key = _make_key(guarded_home)
    bodies.mkdir()
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(running_api("app", "api", home=home))[0].url
        for name, path in (("one", ONE), ("many", MANY)):
            (bodies / name).write_bytes(_fetched(ours + path)[0])
        peers = "tests.bench.polling_peers"
        bare = stack.enter_context(running_api(peers, "starlette", "--bodies", str(bodies), home=home))[0].url
        guarded = stack.enter_context(running_api("app", "api", home=guarded_home))[0].url
        empty = stack.enter_context(running_api(peers, "fastapi", home=home))[0].url
        yield [
            Asked(name="bare Starlette, one", base_url=bare, request=request_of(bare, "/one")),
            Asked(name="empty FastAPI", base_url=empty, request=request_of(empty, READY_PATH)),
            Asked(name="one", base_url=ours, request=request_of(ours, ONE)),
            _conditional("one, 304", ours, ONE),
            Asked(name="one, by a key", base_url=guarded, request=request_of(guarded, ONE, **key)),
            Asked(name="bare Starlette, many", base_url=bare, request=request_of(bare, "/many")),
            Asked(name="many", base_url=ours, request=request_of(ours, MANY)),
            _conditional("many, 304", ours, MANY),
        ]


def _conditional(name: str, base_url: str, path: str) -> Asked:
    request = request_of(base_url, path, If_None_Match=_fetched(base_url + path)[1])
    return Asked(name=name, base_url=base_url, request=request, status=304)


def _fetched(url: str) -> tuple[bytes, str]:
    """Return the body and the entity tag."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read(), answer.headers.get("ETag", "")


def _load(asked: Asked, *, requests: int) -> Load:
    return load(asked.base_url, asked.request, status=asked.status, requests=requests)


def _summary(name: str, loads: Sequence[Load]) -> Polled:
    return Polled(
        name=name,
        rates=tuple(one.rate for one in loads),
        p50_ms=statistics.median(one.p50_ms for one in loads),
        p99_ms=statistics.median(one.p99_ms for one in loads),
    )
