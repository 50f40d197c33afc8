"""Measure, print a table, and keep the numbers in ``bench-results.json``."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app import __version__
from app.bootstrap import open_services
from app.cli.client import ApiClient
from app.cli.console import err, out, table
from app.domain.history import PriceHistory
from app.registry import versions
from app.settings import Settings
from tests.bench.api_with_empty_route import EMPTY_PATH
from tests.bench.load import requests_per_second
from tests.bench.processes import ROOT, resident_megabytes, running, running_api

TICKER = "^GSPC"
RESULTS = ROOT / "bench-results.json"


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measured number; ``at_most`` or ``at_least`` is its goal, without either it is only told."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def goal(self) -> str | None:
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return f"≥ {self.at_least:g}" if self.at_least is not None else None

    @property
    def verdict(self) -> str | None:
        if self.goal is None:
            return None
        is_met = self.value <= self.at_most if self.at_most is not None else self.value >= (self.at_least or 0.0)
        return "met" if is_met else "missed"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        numbers = [*start(home), *training(home), *serving(home), *adhoc(home), *fed_back(home)]
    rows = [
        (n.name, f"{n.value:,.3g}" if n.value < 100 else f"{n.value:,.0f}", n.unit, n.goal, n.verdict) for n in numbers
    ]
    out.print(table("what", "value", "unit", "goal", "", rows=rows))
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    about = {"version": __version__, "python": platform.python_version(), "measured_at": datetime.now(UTC).isoformat()}
    kept = [asdict(n) | {"goal": n.goal, "verdict": n.verdict} for n in numbers]
    RESULTS.write_text(json.dumps({**about, "machine": machine, "numbers": kept}, indent=2) + "\n")


def start(home: Path) -> Iterator[Number]:
    """Start the API on a database that is there and with bytecode that is written: the second time."""
    err.print("Starting the API ...")
    with running_api("app", "api", home=home):
        pass
    with running_api("app", "api", home=home) as (_, pid, seconds):
        time.sleep(1.0)
        yield Number(name="API, from start to ready", value=seconds, unit="s", at_most=2)
        yield Number(name="API, memory after start", value=resident_megabytes(pid), unit="MB", at_most=160)


def training(home: Path) -> Iterator[Number]:
    """Train the default on the whole bundled history, from the request to the registered version."""
    err.print(f"Training {TICKER} ...")
    with running_api("app", "api", home=home) as (api, pid, _), running("app", "worker", home=home):
        started = time.perf_counter()
        job = _trained(api, {"ticker": TICKER, "data": {"source": "sample"}})
        seconds = time.perf_counter() - started
        version = api.get(job["result"]["url"])
        sessions = version["data"]["rows"]
        yield Number(name=f"Default training, {sessions} sessions", value=seconds, unit="s", at_most=60)
        yield Number(name="  is champion", value=float(job["result"]["promoted"]), unit="", at_least=1)
        for stage, spent in version["seconds"].items():
            yield Number(name=f"  of that, {stage}", value=spent, unit="s")
        api.get(f"/v1/forecasts/{quote(TICKER)}")
        yield Number(name="API, memory after a forecast", value=resident_megabytes(pid), unit="MB", at_most=160)


def serving(home: Path) -> Iterator[Number]:
    """Ask for a stored forecast, and for nothing, in turns."""
    err.print("Asking for forecasts ...")
    with running_api("tests.bench.api_with_empty_route", home=home) as (api, _, _):
        forecast, empty = requests_per_second(api.base_url, [f"/v1/forecasts/{quote(TICKER)}", EMPTY_PATH])
    yield Number(name="GET forecast, warm", value=forecast, unit="1/s")
    yield Number(name="GET of an empty route", value=empty, unit="1/s")
    yield Number(name="  the first as a share of the second", value=forecast / empty, unit="", at_least=0.5)


def adhoc(home: Path) -> Iterator[Number]:
    """Forecast from bars in memory, features and ONNX and all."""
    with _predicting(home) as (predict, history):
        yield Number(
            name=f"One forecast from {len(history)} bars", value=_median_ms(predict, 200), unit="ms", at_most=2
        )


def fed_back(home: Path) -> Iterator[Number]:
    """Let four layers of 50 write a year, each step from the ones before; how well they were trained is no matter."""
    err.print("Training a network that writes a year ...")
    order = {"ticker": TICKER, "data": {"source": "sample"}, "preset": "ibm-sequence", "spec": {"epochs": 1}}
    with running_api("app", "api", home=home) as (api, _, _), running("app", "worker", home=home):
        _trained(api, order)
    with _predicting(home) as (predict, _):
        yield Number(name="251 steps fed back, 4 x GRU(50)", value=_median_ms(predict, 20), unit="ms", at_most=500)


def _trained(api: ApiClient, order: dict[str, Any]) -> dict[str, Any]:
    """Hand in ``order`` and return its job once a version has come of it."""
    job: dict[str, Any] = api.post("/v1/train", order)
    while job["state"] in {"queued", "running"}:
        time.sleep(0.2)
        job = api.get(job["links"]["self"])
    if job["state"] != "succeeded":
        raise SystemExit(f"the training {job['state']}: {job['error']}")
    return job


@contextlib.contextmanager
def _predicting(home: Path) -> Iterator[tuple[Callable[[], object], PriceHistory]]:
    """Load the newest version; yield its forecast from the bundled bars, ready to be called, and these."""
    services = open_services(Settings(home=home))
    history = services.source("sample").history(TICKER, now=services.clock())
    with services.database.read() as tx:
        version = versions.newest(tx, TICKER)
    assert version is not None
    predictor = services.models.get(version)
    try:
        yield lambda: predictor.predict(history.bars), history
    finally:
        services.database.close()


def _median_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the median milliseconds of ``work``, which runs a few times before."""
    seconds = []
    for _ in range(rounds + rounds // 10):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[rounds // 10 :]) * 1000


if __name__ == "__main__":
    main()
