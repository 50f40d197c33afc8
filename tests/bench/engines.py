"""Jobs of a second each, claimed by workers that a broker tells of them, beside workers that look themselves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bootstrap import open_services
from app.forecasting.services import Services
from app.jobs import fleet, queries, submission
from app.settings import Settings
from tests.bench.processes import running
from tests.bench.rows import Row, measured, more
from tests.support.redis_server import RedisServer

JOBS = 200
ROUNDS = 4
WORKERS = 2
JOB_SECONDS = 1.0
_PATIENCE_SECONDS = 600.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Workers at work on a registry of their own."""

    name: str
    services: Services


def section(home: Path, *, jobs: int = JOBS, rounds: int = ROUNDS, seconds: float = JOB_SECONDS) -> Iterator[Row]:
    """Let both engines take turns, so that what else the machine does befalls both."""
    with _redis() as redis, contextlib.ExitStack() as stack:
        carried = stack.enter_context(_engine("carried_worker", home / "carried", broker_url=redis.url))
        embedded = stack.enter_context(_engine("worker", home / "embedded"))
        rates: dict[str, list[float]] = {engine.name: [] for engine in (carried, embedded)}
        for number in range(rounds):
            for engine in (carried, embedded) if number % 2 else (embedded, carried):
                rates[engine.name].append(_rate(engine.services, jobs // rounds, seconds, of=f"round {number}"))
        figures = [measured(rates[engine.name], "jobs/min") for engine in (carried, embedded)]
    what = f"jobs of {seconds:g} s, {WORKERS} workers, Celery on Redis"
    note = f"{jobs} jobs each in {rounds} rounds by turns; each job in a fresh process; SQLite"
    yield more(what, figures[0], "embedded", figures[1], at_least=0.95, note=note)


@contextlib.contextmanager
def _redis() -> Iterator[RedisServer]:
    server = RedisServer()
    try:
        server.start()
    except FileNotFoundError:
        raise SystemExit("redis-server is not installed") from None
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def _engine(worker: str, home: Path, *, broker_url: str | None = None) -> Iterator[Engine]:
    """Run the workers, whose children rest in place of training, and wait until all are there."""
    services = open_services(Settings(home=home, broker_url=broker_url))
    settings = {"MORROW_BROKER_URL": broker_url} if broker_url else {}
    try:
        with contextlib.ExitStack() as stack:
            for number in range(WORKERS):
                stack.enter_context(running(f"tests.worker.toys.{worker}", f"w{number}", home=home, **settings))
            _wait(lambda: _alive(services) == WORKERS)
            yield Engine(name=worker, services=services)
    finally:
        services.database.close()


def _rate(services: Services, jobs: int, seconds: float, *, of: str) -> float:
    """Hand in the jobs one by one, as the API does, and return how many were done in a minute."""
    started = time.monotonic()
    ids = [_hand_in(services, seconds, dedupe=f"{of}, job {number}") for number in range(jobs)]
    _wait(lambda: _done(services, ids) == jobs)
    return jobs / (time.monotonic() - started) * 60


def _hand_in(services: Services, seconds: float, *, dedupe: str) -> str:
    payload = {"do": "rest", "seconds": seconds}
    with services.database.write() as tx:
        job, _ = submission.submit(
            tx, kind="train", ticker="REST", payload=payload, dedupe=dedupe, now=services.now(tx)
        )
    services.delivery.send([job])
    return job.job_id


def _done(services: Services, ids: Sequence[str]) -> int:
    with services.database.read() as tx:
        return sum(job.state == "succeeded" for job in queries.get_many(tx, ids))


def _alive(services: Services) -> int:
    with services.database.read() as tx:
        return len(fleet.alive(tx, now=services.now(tx), within_seconds=60))


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the jobs do not get on")
        time.sleep(_LOOK_SECONDS)
