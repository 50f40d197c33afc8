"""One ticker as the service leaves it after two years: trained for real, its record written by the real functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from app.artifacts.bundle import bundle_key
from app.bootstrap import open_services
from app.domain.forecast import Forecast
from app.domain.score import SCORED, Score, awaiting
from app.domain.version import CHAMPION, ModelVersion
from app.evaluation.calibration import LEVELS
from app.forecasting.services import Services
from app.registry import aliases, drift, editions, forecasts, scores, settlements, tickers, versions
from app.settings import Settings
from tests.bench.processes import ROOT

TICKER = "SEED"
BARS = 1500
SOURCE = "files"
FIRST_DAY = np.datetime64("2024-01-02")


@contextmanager
def opened(home: Path) -> Iterator[Services]:
    """Open the state in ``home``, whose price files lie in ``prices``."""
    (home / "prices").mkdir(parents=True, exist_ok=True)
    services = open_services(Settings(home=home, source=SOURCE, files_dir=home / "prices"))
    try:
        yield services
    finally:
        services.database.close()


def write_prices(home: Path, ticker: str, *, bars: int = BARS, seed: int = 1) -> None:
    """Write a random walk with daily ranges as the ticker's price file; more ``bars`` only go on."""
    random = np.random.default_rng(seed)
    days = np.busday_offset(FIRST_DAY, np.arange(bars) - BARS, roll="backward")
    moves = random.standard_t(5, (bars, 3)) * [0.01, 0.004, 0.004]
    close = 100.0 * np.exp(np.cumsum(moves[:, 0]))
    high, low = close * np.exp(np.abs(moves[:, 1])), close / np.exp(np.abs(moves[:, 2]))
    lines = [
        f"{day},{c:.4f},{h:.4f},{low_:.4f},{c:.4f},{volume}"
        for day, c, h, low_, volume in zip(days, close, high, low, random.integers(10**5, 10**6, bars), strict=True)
    ]
    (home / "prices").mkdir(parents=True, exist_ok=True)
    (home / "prices" / f"{ticker}.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *lines]) + "\n")


def settings_of(home: Path) -> dict[str, str]:
    """Return the environment from which a process reads the settings of what ``opened`` opens."""
    return {"MORROW_HOME": str(home), "MORROW_FILES_DIR": str(home / "prices"), "MORROW_LOG_LEVEL": "error"}


def train(home: Path) -> ModelVersion:
    """Train the default network of ``SEED`` for a few epochs, by the command, and return its version."""
    write_prices(home, TICKER)
    environment = {**os.environ, **settings_of(home)}
    order = ("--source", SOURCE, "--set", "epochs=2", "--set", "seeds=1")
    command = [sys.executable, "-m", "app", "train", TICKER, *order]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    with opened(home) as services, services.database.read() as tx:
        return versions.get(tx, TICKER, 1)


def forecast_of(home: Path, version: ModelVersion) -> Forecast:
    """Return what ``version`` said when it was registered."""
    with opened(home) as services, services.database.read() as tx:
        said = forecasts.latest(tx, TICKER, version.number)
    assert said is not None
    return said


def live(tx: Connection, version: ModelVersion, forecast: Forecast, *, versions_each: int, days: int) -> None:
    """Let ``SEED`` have ``versions_each`` versions and ``days`` forecasts, all but the last of them scored.

    The champion changed once, half-way.
    """
    now = datetime(2026, 1, 2, 22, tzinfo=UTC)
    for _ in range(versions_each):
        number = versions.reserve_number(tx, TICKER)
        versions.register(tx, replace(version, number=number, location=bundle_key(TICKER, number)))
    champions = [max(versions_each // 2, 1), versions_each]
    for number in dict.fromkeys(champions):
        aliases.point(tx, TICKER, CHAMPION, number, by="train", reason="better than the baseline", now=now)
    random = np.random.default_rng(5)
    settled = []
    for day in range(days):
        issued = _issued(forecast, champions[day >= days // 2], days_ago=days - day, edition=editions.next_edition(tx))
        forecasts.store(tx, issued)
        settled += [_came(step, random) for step in awaiting(issued) if day < days - 1]
    scores.settle(tx, settled)
    settlements.note(tx, TICKER, SOURCE, version.data.snapshot_id)
    tickers.set_source_state(tx, TICKER, ok=True, error=None, now=now)
    tickers.set_next_update(tx, TICKER, now + timedelta(days=1))
    drift.write(tx, TICKER, versions_each, _drifted(version), now=now)


def _issued(forecast: Forecast, version: int, *, days_ago: int, edition: str) -> Forecast:
    """Return ``forecast`` as it would have been issued by ``version`` so many days earlier."""
    back = timedelta(days=days_ago)
    steps = tuple(
        replace(
            step,
            target_session=step.target_session - back,
            target_open_at=step.target_open_at - back,
            target_close_at=step.target_close_at - back,
        )
        for step in forecast.steps
    )
    return replace(
        forecast,
        forecast_id=f"{days_ago:032x}",
        version=version,
        steps=steps,
        origin="live",
        as_of_session=forecast.as_of_session - back,
        issued_at=forecast.issued_at - back,
        next_update_at=forecast.next_update_at - back,
        edition=edition,
    )


def _came(step: Score, random: np.random.Generator) -> Score:
    """Return ``step`` as if its session had come."""
    pit = float(random.random())
    reached = abs(2 * pit - 1) * 100
    actual = step.last_value * (1 + 0.02 * (pit - 0.5))
    return replace(
        step,
        state=SCORED,
        actual=actual,
        actual_close=actual,
        error=step.last_value * 1.0001 - actual,
        persistence_error=step.last_value - actual,
        crps=0.005 + 0.004 * float(random.random()),
        crps_ewma_t=0.005 + 0.004 * float(random.random()),
        pinball=0.002 + 0.002 * float(random.random()),
        pit=pit,
        qlike=float(random.random()),
        inside={f"{level:g}": {"raw": reached <= level, "displayed": reached <= level} for level in LEVELS},
        snapshot_id="sha256:" + "0" * 64,
        scored_at=step.issued_at + timedelta(days=1),
    )


def _drifted(version: ModelVersion) -> dict[str, object]:
    """Return what a check of drift leaves of as many columns as the network reads."""
    names = [f"column_{n}" for n in range(12)]
    sign = {
        "state": "ok",
        "measure": "psi",
        "value": 0.08,
        "n": 60,
        "need": 60,
        "limits": {"warn": 0.1, "alarm": 0.25},
        "detail": {"columns": dict.fromkeys(names, 0.0812345678901)},
    }
    return json.loads(json.dumps({"state": "ok", "signs": [{"name": name, **sign} for name in ("a", "b", "c")]}))
