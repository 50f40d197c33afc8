"""A day's refresh of many tickers: new bars, scores, forecasts, one edition; the prices lie in files."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from app.artifacts.bundle import bundle_key
from app.cli.console import err
from app.domain.version import CHAMPION, ModelVersion
from app.forecasting.services import Services
from app.jobs import leases, queries, submission
from app.observability.logs import configure_logging
from app.registry import aliases, versions
from app.worker.child import RUN_JOB
from app.worker.runner import run_in_child
from tests.bench.registry import seed
from tests.bench.registry.fill import name_of
from tests.bench.rows import Row, once

TICKERS = 500
MOST_SECONDS = 60.0


def day(tickers: int = TICKERS) -> Iterator[Row]:
    """Serve ``tickers``, each by a copy of one small network, and refresh them once their next bar is there."""
    configure_logging("error", "console")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "day"
        err.print("Training one ticker ...")
        version = seed.train(Path(folder) / "seed")
        err.print(f"Serving {tickers} copies ...")
        with seed.opened(Path(folder) / "seed") as origin, seed.opened(home) as services:
            for number in range(tickers):
                seed.write_prices(home, name_of(number), seed=number)
                copy(version, name_of(number), origin=origin, services=services)
            refreshed(home, services)
            for number in range(tickers):
                seed.write_prices(home, name_of(number), bars=seed.BARS + 1, seed=number)
            err.print("Refreshing ...")
            seconds = refreshed(home, services)
    yield Row(what=f"Refresh of {tickers} tickers", ours=once(seconds, "s"), at_most=MOST_SECONDS)
    yield Row(what="  a ticker", ours=once(1000 * seconds / tickers, "ms"))


def copy(version: ModelVersion, ticker: str, *, origin: Services, services: Services) -> None:
    """Let ``ticker`` be served by a copy of ``version``, whose files lie at its ``origin``."""
    files = {
        name: origin.artifacts.read(version.location, name, sha256=facts["sha256"])
        for name, facts in version.artifacts.items()
    }
    key = bundle_key(ticker, 1)
    services.artifacts.publish(key, files)
    with services.database.write() as tx:
        number = versions.reserve_number(tx, ticker)
        order = {**version.order, "ticker": ticker}
        versions.register(tx, replace(version, ticker=ticker, number=number, order=order, location=key))
        aliases.point(tx, ticker, CHAMPION, number, by="bench", reason="a copy", now=services.clock())


def refreshed(home: Path, services: Services) -> float:
    """Refresh everything by a job in its process; every ticker has to have a new forecast."""
    now = services.clock()
    with services.database.write() as tx:
        submitted, _ = submission.submit(tx, kind="refresh", ticker=None, payload={}, dedupe="day", now=now)
        claimed = leases.claim(tx, owner="bench", lease_seconds=services.settings.lease_seconds, now=now)
    assert claimed is not None
    state = [f"{name}={value}" for name, value in seed.settings_of(home).items()]
    started = time.perf_counter()
    run_in_child(services, [claimed], stop=threading.Event(), command=("env", *state, *RUN_JOB))
    seconds = time.perf_counter() - started
    with services.database.read() as tx:
        told = queries.get(tx, submitted.job_id).result
    if not told or told["failed"] or told["unchanged"]:
        raise RuntimeError(f"The refresh did not renew every ticker: {told}")
    return seconds
