from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.forecast import Forecast
from app.domain.spec import NetworkSpec
from app.forecasting.document import to_document
from app.forecasting.forecast import forecast_ticker
from app.forecasting.market_data import latest_bars
from app.forecasting.services import Services
from app.forecasting.state import OVERDUE_LOOK, state_of
from tests.forecasting.conftest import NOW, TestSource, make_bars

UP = {"source_ok": True, "source_error": None}
DOWN = {"source_ok": False, "source_error": {"code": "source_rate_limited"}}
BEFORE_CLOSE = NOW
AFTER_CLOSE = datetime(2024, 3, 6, 21, 30, tzinfo=UTC)


@pytest.fixture
def baseline(services: Services, source: TestSource) -> Forecast:
    source.bars["AAA"] = make_bars(300)
    market = latest_bars("AAA", "files", services=services).audited_for(NetworkSpec())
    return forecast_ticker(market, version=None, models=services.models, now=NOW, refresh_delay=services.refresh_delay)


@pytest.mark.parametrize(
    ("version", "source_state", "now", "name", "reasons"),
    [
        (1, UP, BEFORE_CLOSE, "fresh", ()),
        (1, None, BEFORE_CLOSE, "fresh", ()),
        (1, {"source_ok": None, "source_error": None}, BEFORE_CLOSE, "fresh", ()),
        (None, UP, BEFORE_CLOSE, "baseline", ("baseline",)),
        (1, UP, AFTER_CLOSE, "stale", ("stale",)),
        (None, UP, AFTER_CLOSE, "stale", ("stale", "baseline")),
        (1, DOWN, BEFORE_CLOSE, "degraded", ("degraded", "source_rate_limited")),
        (None, DOWN, AFTER_CLOSE, "degraded", ("degraded", "stale", "baseline", "source_rate_limited")),
    ],
)
def test_the_worst_state_names_itself_and_all_that_hold_are_listed(
    baseline: Forecast, version: int | None, source_state: dict, now: datetime, name: str, reasons: tuple[str, ...]
) -> None:
    state = state_of(replace(baseline, version=version).validity, known=source_state, now=now)
    assert (state.name, state.reasons) == (name, reasons)


def test_a_state_holds_until_the_target_session_closes_and_then_until_the_update(baseline: Forecast) -> None:
    assert state_of(baseline.validity, known=None, now=BEFORE_CLOSE).until == datetime(2024, 3, 6, 21, 0, tzinfo=UTC)
    assert state_of(baseline.validity, known=None, now=AFTER_CLOSE).until == baseline.next_update_at


def test_a_late_bar_moves_the_next_update_and_an_overdue_one_is_looked_for_soon(baseline: Forecast) -> None:
    late = baseline.next_update_at + timedelta(hours=3)
    planned = {**UP, "next_update_at": late + timedelta(minutes=30)}
    assert state_of(baseline.validity, known=planned, now=late).next_update_at == planned["next_update_at"]
    assert state_of(baseline.validity, known=planned, now=late).until == planned["next_update_at"]
    assert state_of(baseline.validity, known=UP, now=late).until == late + OVERDUE_LOOK


def test_the_baseline_is_the_last_close_and_its_recent_spread(baseline: Forecast) -> None:
    assert baseline.steps[0].location == 0.0
    assert baseline.steps[0].target_session.isoformat() == "2024-03-06"
    assert 0.005 < float(baseline.predictive.volatility[0, 0]) < 0.02
    assert (baseline.architecture, baseline.version, baseline.origin) == ("ewma_t", None, "live")


def test_a_forecast_issued_after_the_target_opened_is_a_backfill(services: Services, source: TestSource) -> None:
    source.bars["AAA"] = make_bars(300)
    market = latest_bars("AAA", "files", services=services).audited_for(NetworkSpec())
    late = forecast_ticker(
        market, version=None, models=services.models, now=AFTER_CLOSE, refresh_delay=services.refresh_delay
    )
    assert late.origin == "backfill"


def test_the_widest_interval_is_still_a_number(baseline: Forecast) -> None:
    state = state_of(baseline.validity, known=None, now=NOW)
    step = to_document(baseline, state, alias=None, horizon=1, levels=(99.9999,))["steps"][0]
    assert len(step["quantiles"]) == 3
    assert 0 < step["intervals"][0]["lower"] < step["point"] < step["intervals"][0]["upper"] < float("inf")


def test_a_forecast_survives_its_storage_to_the_last_bit(baseline: Forecast) -> None:
    assert Forecast.from_dict(baseline.to_dict()) == baseline
