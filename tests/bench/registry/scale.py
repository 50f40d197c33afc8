"""The registry at a hundredth of its size and at all of it: what clients and workers wait for."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from app.api.pagination import token_of
from app.cli.console import err
from app.db.engine import Database
from app.domain.forecast import Forecast
from app.domain.version import ModelVersion
from app.jobs import leases
from tests.bench.processes import resident_megabytes, running_api
from tests.bench.registry import seed
from tests.bench.registry.fill import Size, fill, name_of
from tests.bench.registry.latency import Latency, asked, latency_of
from tests.bench.rows import Row, once

SMALL = 0.01
ANSWERS = 500
CLAIMS = 500
HOT = 10_000
MOST_MS, MOST_TIMES, MOST_MB = 20.0, 2.0, 300.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one registry answered: latencies by question, and the memory of the API with its forecasts hot."""

    seconds_to_fill: float
    gigabytes: float
    latencies: Mapping[str, Latency]
    hot: int
    megabytes: float


def scale(size: Size, *, share: float = 1.0) -> Iterator[Row]:
    """Measure ``share`` of ``size`` beside a hundredth of it."""
    small, whole = size.share(SMALL * share), size.share(share)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        err.print("Training one ticker ...")
        version = seed.train(home / "seed")
        forecast = seed.forecast_of(home / "seed", version)
        before = measure(home / "small", small, version=version, forecast=forecast)
        after = measure(home / "whole", whole, version=version, forecast=forecast)
    yield Row(what=f"Registry of {whole}, to fill", ours=once(after.seconds_to_fill, "s"))
    yield Row(what="  on disk", ours=once(after.gigabytes, "GB"))
    for what, latency in after.latencies.items():
        yield Row(what=f"{what}, p50", ours=once(latency.p50, "ms"))
        yield Row(what=f"{what}, p99", ours=once(latency.p99, "ms"), at_most=MOST_MS)
        times = latency.p99 / before.latencies[what].p99
        yield Row(what="  times that of a hundredth", ours=once(times, ""), at_most=MOST_TIMES)
    megabytes = once(after.megabytes, "MB")
    yield Row(what=f"API, memory with {after.hot:,} forecasts hot", ours=megabytes, at_most=MOST_MB)


def measure(home: Path, size: Size, *, version: ModelVersion, forecast: Forecast) -> Found:
    """Fill a registry of this ``size`` in ``home`` and ask it."""
    err.print(f"Filling a registry of {size} ...")
    seconds = fill(home, size, version=version, forecast=forecast)
    err.print("Asking ...")
    hot = min(size.tickers, HOT)
    with running_api("app", "api", home=home) as (api, pid, _):
        for paths in _questions(size, level=50).values():
            asked(api.url, paths)  # once for the disk, whose latency is not ours
        found = {what: asked(api.url, paths) for what, paths in _questions(size, level=60).items()}
        asked(api.url, [f"/v1/forecasts/{name_of(number)}" for number in range(hot)])
        megabytes = resident_megabytes(pid)
    return Found(
        seconds_to_fill=seconds,
        gigabytes=(home / "morrow.db").stat().st_size / 1e9,
        latencies=found | {"Claim of a job": _claims(home)},
        hot=hot,
        megabytes=megabytes,
    )


def _questions(size: Size, *, level: int) -> Mapping[str, list[str]]:
    """Return paths; another ``level`` is another forecast, which nobody has made hot."""
    chance = random.Random(7)
    names = [name_of(chance.randrange(size.tickers)) for _ in range(ANSWERS)]
    deep = [quote(token_of("models", (name,))) for name in names]
    page = [quote(token_of("scores", (name,))) for name in names]
    return {
        "Latest forecast, not hot": [f"/v1/forecasts/{name}?level={level + n / 100:g}" for n, name in enumerate(names)],
        "List of tickers, first page": ["/v1/models"] * ANSWERS,
        "List of tickers, deep page": [f"/v1/models?page_token={token}" for token in deep],
        "Versions of a ticker": [f"/v1/models/{name}" for name in names],
        "History of a ticker": [f"/v1/forecasts/{name}/history" for name in names],
        "Scores, any page": [f"/v1/scores?page_token={token}" for token in page],
    }


def _claims(home: Path) -> Latency:
    """Claim one job after the other, as a worker does, each in a transaction of its own."""
    database = Database(f"sqlite:///{home / 'morrow.db'}")
    seconds = []
    for _ in range(CLAIMS):
        started = time.perf_counter()
        with database.write() as tx:
            job = leases.claim(tx, owner="bench", lease_seconds=600, now=datetime.now(UTC))
        seconds.append(time.perf_counter() - started)
        if job is None:
            break
    database.close()
    return latency_of(seconds)
