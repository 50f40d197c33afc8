"""A world that has moved is noticed by the refresh, and trained for where the settings say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from app.api.submission import submit_order
from app.bootstrap import open_services
from app.domain.history import Bars
from app.domain.job import Job
from app.domain.order import TrainingOrder
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.jobs import queries
from app.registry import drift, versions
from app.settings import Settings
from tests.api.rows import NOW as SATURDAY
from tests.api.rows import add_version
from tests.forecasting.conftest import Clock, TestSource, make_bars

SPEC = {"features": ["range_volatility"], "window": 5}


@pytest.fixture
def eager(tmp_path: Path, clock: Clock, source: TestSource) -> Iterator[Services]:
    """Services that train anew on drift."""
    wired = open_services(Settings(home=tmp_path, retrain_on_drift=True), clock=clock)
    yield replace(wired, sources={"files": source})
    wired.database.close()


def excited(bars: Bars, days: int) -> Bars:
    """The same bars, but in the last ``days`` the range is ten times as wide."""
    wide = np.where(np.arange(len(bars)) >= len(bars) - days, 10.0, 1.0)
    high, low = (bars.close * (side / bars.close) ** wide for side in (bars.high, bars.low))
    return replace(bars, high=high, low=low)


TODAY = SATURDAY + timedelta(days=120)
CALM = make_bars(900, last="2027-03-19")
EXCITED = excited(CALM, 60)


def refreshed(services: Services, source: TestSource, clock: Clock, bars: Bars) -> tuple[str, list[Job]]:
    """Serve a champion that was trained four months ago, refresh on ``bars``; its drift, and the jobs this queued."""
    clock.now = TODAY
    source.bars["AAA"] = bars
    with services.database.read() as tx:
        known = versions.newest(tx, "AAA")
    if known is None:
        add_version(services, "AAA", spec=SPEC, alias="champion")
    refresh_tickers(None, services=services, report=lambda *_: None)
    with services.database.read() as tx:
        _, found = drift.known(tx, ["AAA"])["AAA", 1]
        return found["state"], queries.list_jobs(tx, kind="train", limit=9)


def test_a_calm_world_is_no_reason_to_train(eager: Services, source: TestSource, clock: Clock) -> None:
    assert refreshed(eager, source, clock, CALM) == ("ok", [])


def test_inputs_that_moved_far_queue_one_training_by_the_champions_order(
    eager: Services, source: TestSource, clock: Clock
) -> None:
    state, (job,) = refreshed(eager, source, clock, EXCITED)
    assert state == "alarm"
    with eager.database.read() as tx:
        assert job.payload == versions.get(tx, "AAA", 1).order
    assert job.submitted_by == "drift of inputs of version 1"
    more = excited(make_bars(901, last="2027-03-22"), 61)
    assert refreshed(eager, source, clock, more) == ("alarm", [job])


def test_a_training_on_drift_and_a_users_identical_one_are_one_job(
    eager: Services, source: TestSource, clock: Clock
) -> None:
    _, (job,) = refreshed(eager, source, clock, EXCITED)
    order = TrainingOrder.from_dict({"ticker": "AAA", "spec": SPEC, "data": {"source": "files"}})
    with eager.database.write() as tx:
        assert submit_order(tx, order, kind="train", submitted_by="user", services=eager) == (job, True)
        judged, known = submit_order(tx, order, kind="backtest", submitted_by="user", services=eager)
    assert (judged.kind, known) == ("backtest", False)


def test_what_was_trained_lately_is_not_trained_again(eager: Services, source: TestSource, clock: Clock) -> None:
    clock.now = SATURDAY + timedelta(days=60)
    source.bars["AAA"] = excited(make_bars(900, last="2027-01-15"), 60)
    add_version(eager, "AAA", spec=SPEC, alias="champion")
    refresh_tickers(None, services=eager, report=lambda *_: None)
    with eager.database.read() as tx:
        assert drift.known(tx, ["AAA"])["AAA", 1][1]["state"] == "alarm"
        assert queries.list_jobs(tx, kind="train", limit=9) == []


def test_drift_alone_trains_nothing_unless_asked_to(services: Services, source: TestSource, clock: Clock) -> None:
    assert refreshed(services, source, clock, EXCITED) == ("alarm", [])
