"""Trainings of small networks share a process when they differ in ticker and seed alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.batch import shape_of
from app.domain.job import Job
from app.domain.order import TrainingOrder

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def waiting(ticker: str = "AAPL", *, preset: str = "default", **body: Any) -> Job:
    order = TrainingOrder.from_dict({"ticker": ticker, "preset": preset, "data": {"source": "files"}, **body})
    return Job(
        job_id=ticker,
        kind="train",
        ticker=ticker,
        state="queued",
        payload=order.to_dict(),
        priority=0,
        attempt=0,
        max_attempts=3,
        fence=0,
        cancel_requested=False,
        progress=None,
        result=None,
        error=None,
        created_at=NOON,
        started_at=None,
        finished_at=None,
    )


def test_trainings_that_differ_in_ticker_seed_or_promotion_are_alike() -> None:
    other = waiting("MSFT", spec={"seed": 99}, promote="never")
    assert shape_of(waiting()) == shape_of(other) is not None


@pytest.mark.parametrize(
    "body",
    [
        {"spec": {"window": 21}},
        {"spec": {"epochs": 3}},
        {"data": {"source": "files", "start": "2015-01-01"}},
        {"evaluation": {"kind": "fixed", "test_fraction": 0.2}},
        {"timeout_seconds": 60},
    ],
)
def test_what_shapes_network_judgement_or_patience_sets_trainings_apart(body: dict[str, Any]) -> None:
    assert shape_of(waiting()) != shape_of(waiting(**body)) is not None


@pytest.mark.parametrize(
    "spec",
    [{"units": [65]}, {"units": [13], "seeds": 5}, {"members": [{"units": [50]}] * 2}, {"window": 61}],
)
def test_a_large_network_is_trained_alone(spec: dict[str, Any]) -> None:
    assert shape_of(waiting(spec=spec)) is None


def test_a_pooled_network_a_backtest_a_search_and_a_refresh_run_alone() -> None:
    assert shape_of(replace(waiting(), payload={**waiting().payload, "preset": "pooled"})) is None
    assert shape_of(replace(waiting(), payload={**waiting().payload, "universe": ["A", "B"]})) is None
    for kind in ("backtest", "tune", "refresh"):
        assert shape_of(replace(waiting(), kind=kind)) is None


def test_a_job_that_fell_before_and_one_that_has_no_other_attempt_run_alone() -> None:
    assert shape_of(replace(waiting(), attempt=1)) is None
    assert shape_of(replace(waiting(), max_attempts=1)) is None
    assert shape_of(replace(waiting(), state="running", attempt=1)) == shape_of(waiting())
    assert shape_of(replace(waiting(), state="running", attempt=2)) is None
