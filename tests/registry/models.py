"""Versions and forecasts to play with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from app.artifacts.bundle import bundle_key
from app.domain.forecast import Bands, Forecast, Step
from app.domain.score import Score
from app.domain.scorecard import Calibration, Skill
from app.domain.version import DataFacts, ModelVersion
from app.registry import scores, versions

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FRIDAY = date(2026, 11, 20)
SKILL = Skill(
    vs="persistence", metric="rmse", value=-0.0007, ci95=(-0.004, 0.002), dm_p=0.61, n=1000, beats_baseline=False
)


def after(seconds: float) -> datetime:
    """The moment ``seconds`` after noon."""
    return NOON + timedelta(seconds=seconds)


def a_version(ticker: str = "AAPL", number: int = 1, **changes: Any) -> ModelVersion:
    """A version as training leaves it."""
    facts = DataFacts(
        source="sample",
        snapshot_id="sha256:00",
        first_session=date(2015, 1, 2),
        last_session=FRIDAY,
        rows=2990,
        findings=({"code": "gap", "count": 1},),
    )
    version = ModelVersion(
        ticker=ticker,
        number=number,
        created_at=NOON,
        order={"ticker": ticker, "preset": "default", "spec": {"window": 60}},
        data=facts,
        scorecard={
            "skill": {"value": 0.1},
            "reasons": ["not_better_than_baseline"],
            "contestants": {"model": {"rmse": 1.1}, "persistence": {"rmse": 1.0}, "ewma_t": {"rmse": 1.0}},
            "pit": {"lower": [0.0, 0.5]},
        },
        location=bundle_key(ticker, number),
        artifacts={"model.onnx": {"sha256": "00", "bytes": 3}},
        manifest_sha256="f" * 64,
        libraries={"keras": "3.15.1"},
        seconds={"fit": 1.5},
        job_id="job",
        code_version="0.1.0",
        submitted_by="key-1",
        reason="asked",
    )
    return replace(version, **changes)


def train(tx: Connection, ticker: str = "AAPL") -> int:
    """Register the ticker's next version and return its number."""
    number = versions.reserve_number(tx, ticker)
    versions.register(tx, a_version(ticker, number))
    return number


def steps_of(tx: Connection, ticker: str = "AAPL", *, source: str = "sample") -> list[Score]:
    """All steps ever forecast of the ticker, by target session."""
    return scores.up_to(tx, ticker, source, until=date.max, since=date.min)


def a_forecast(name: str = "one", **changes: Any) -> Forecast:
    """A forecast of one step as it is issued."""
    step = Step(
        step=1,
        field="close",
        last_value=412.3,
        target_session=date(2026, 11, 23),
        target_open_at=datetime(2026, 11, 23, 14, 30, tzinfo=UTC),
        target_close_at=datetime(2026, 11, 23, 21, tzinfo=UTC),
        location=0.0006,
        scale=0.0123456789012345,
        df=5.0,
    )
    forecast = Forecast(
        forecast_id=name,
        ticker="AAPL",
        currency="USD",
        targets=({"field": "close", "transform": "log_return"},),
        origin="live",
        as_of_session=FRIDAY,
        issued_at=NOON,
        last_close=412.3,
        steps=(step,),
        version=1,
        architecture="gru",
        preset="default",
        trained_through=FRIDAY,
        skill=SKILL,
        bands=Bands(levels=((80.0, 81.5),), kept=(Calibration(level=80.0, empirical=0.803, n=1000),)),
        provenance={"snapshot_id": "sha256:00", "source": "sample"},
        calendar={"exchange": "XNYS", "approximate": False},
        next_update_at=after(3600),
    )
    return replace(forecast, **changes)
