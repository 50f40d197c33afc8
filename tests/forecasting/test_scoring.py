"""What came of a forecast, in the prices of its day, whatever has happened to the bars since."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from app.domain.history import Action, Bars, PriceHistory
from app.domain.score import Score, awaiting
from app.forecasting.actuals import actual_of
from app.forecasting.market_data import Feed
from app.forecasting.refresh import refresh_tickers
from app.forecasting.scoring import score_step, settle_ticker
from app.forecasting.services import Services
from app.registry import forecasts, scores, tickers
from tests.forecasting.conftest import Clock, TestSource, make_bars
from tests.registry.models import FRIDAY, a_forecast, steps_of

MONDAY = FRIDAY + timedelta(days=3)
BARS = make_bars(300, last=str(MONDAY))
LAST = float(BARS.close[-2])


def forecast(**changes: Any) -> Any:
    (step,) = a_forecast().steps
    step = replace(step, **{"last_value": LAST, **changes})
    calendar = {"exchange": "XNYS", "approximate": False, "timezone": "America/New_York"}
    provenance = {"snapshot_id": None, "source": "files"}
    return a_forecast(steps=(step,), last_close=step.last_value, provenance=provenance, calendar=calendar)


def step(**changes: Any) -> Score:
    return awaiting(forecast(**changes))[0]


def history(bars: Bars = BARS, *actions: Action) -> PriceHistory:
    return PriceHistory(ticker="AAPL", source="files", bars=bars, actions=actions)


def scaled(by: float, *names: str) -> Bars:
    return replace(BARS, **{name: BARS.column(name) * by for name in names})


def split(day: date, ratio: float) -> Action:
    return Action(session=day, kind="split", value=ratio)


def value(of: Score, known: PriceHistory) -> float:
    actual = actual_of(of, known)
    assert actual is not None
    return actual.value


PRICES = ("open", "high", "low", "close", "adj_close")


@pytest.mark.parametrize("day", [MONDAY, MONDAY + timedelta(days=30)], ids=["on the session", "after it"])
def test_a_split_since_is_undone_by_its_factor(day: date) -> None:
    known = history(scaled(1 / 3, *PRICES), split(day, 3.0))
    assert value(step(), known) == pytest.approx(BARS.close[-1])
    quoted = actual_of(step(), known)
    assert quoted is not None and quoted.close == pytest.approx(BARS.close[-1] / 3)


def test_a_split_before_the_day_of_issue_was_known_to_the_forecast() -> None:
    assert value(step(), history(BARS, split(FRIDAY, 2.0))) == BARS.close[-1]


def test_a_split_that_nobody_named_shows_in_the_day_of_issue() -> None:
    assert value(step(), history(scaled(0.25, *PRICES))) == pytest.approx(BARS.close[-1])


def test_a_split_that_the_source_knew_early_is_undone_once_and_not_twice() -> None:
    assert value(step(), history(BARS, split(MONDAY, 2.0))) == BARS.close[-1]


@pytest.mark.parametrize("by", [1.0, 1 / 1.05], ids=["known at issue", "come since"])
def test_a_small_split_is_undone_once_whenever_the_source_took_it_in(by: float) -> None:
    assert value(step(), history(scaled(by, *PRICES), split(MONDAY, 1.05))) == pytest.approx(BARS.close[-1])


def test_a_rounded_adjusted_close_is_no_dividend() -> None:
    rounded = replace(BARS, adj_close=np.round(BARS.close * 0.9, 2))
    assert value(step(), history(rounded)) == BARS.close[-1]


def test_where_the_source_names_dividends_there_are_no_others() -> None:
    adjusted = BARS.close.copy()
    adjusted[:-1] *= 0.97
    known = replace(BARS, adj_close=adjusted)
    early, today = (Action(session=day, kind="dividend", value=3.0) for day in (FRIDAY, MONDAY))
    assert value(step(), history(known, early)) == BARS.close[-1]
    assert value(step(), history(known, early, today)) == pytest.approx(BARS.close[-1] / 0.97)


def test_a_dividend_is_added_back_where_there_are_adjusted_closes() -> None:
    adjusted = BARS.close.copy()
    adjusted[:-1] *= 0.97
    assert value(step(), history(replace(BARS, adj_close=adjusted))) == pytest.approx(BARS.close[-1] / 0.97)
    assert value(step(), history(replace(BARS, adj_close=np.full(300, np.nan)))) == BARS.close[-1]


def test_a_restated_day_of_issue_changes_no_actual_and_a_restated_session_does() -> None:
    close = BARS.close.copy()
    close[-2] *= 1.05
    assert value(step(), history(replace(BARS, close=close, adj_close=close))) == BARS.close[-1]
    close[-1] *= 1.02
    assert value(step(), history(replace(BARS, close=close, adj_close=close))) == pytest.approx(1.02 * BARS.close[-1])


def test_a_field_that_is_no_price_is_scaled_by_its_value_on_the_day_of_issue() -> None:
    volume = BARS.volume * np.where(np.arange(300) == 299, 3.0, 2.0)
    known = history(replace(BARS, volume=volume), split(MONDAY, 2.0))
    assert value(step(field="volume"), replace(known)) == pytest.approx(1.5 * LAST)


def test_a_session_without_a_bar_or_a_value_has_no_actual() -> None:
    assert actual_of(step(target_session=MONDAY + timedelta(days=1)), history()) is None
    close = np.where(np.arange(300) == 299, np.nan, BARS.close)
    assert actual_of(step(), history(replace(BARS, close=close))) is None
    assert actual_of(step(field="weighted_price"), history()) is None


def test_what_came_after_the_day_of_issue_tells_the_baseline_nothing() -> None:
    actual = actual_of(step(), history())
    assert actual is not None
    before = score_step(step(), actual, forecast(), history())
    close = BARS.close.copy()
    close[-1] *= 1.5
    assert score_step(step(), actual, forecast(), history(replace(BARS, close=close))) == before
    assert before.crps_ewma_t is not None


def settle(services: Services) -> tuple[int, int, int]:
    settled = settle_ticker("AAPL", Feed(services), sources=["files"], services=services)
    assert settled.problems == ()
    return settled.scored, settled.restated, settled.missing


@pytest.fixture
def waiting(services: Services, source: TestSource, clock: Clock) -> Services:
    """One forecast of Monday, known on Tuesday."""
    clock.now = forecast().steps[0].target_close_at + timedelta(days=1)
    source.bars["AAPL"] = BARS
    with services.database.write() as tx:
        forecasts.store(tx, forecast())
    return services


def state(services: Services) -> tuple[str, float | None]:
    with services.database.read() as tx:
        (score,) = steps_of(tx, source="files")
    return score.state, score.actual


def test_a_forecast_waits_for_its_bar_and_is_scored_once(waiting: Services, source: TestSource) -> None:
    source.bars["AAPL"] = BARS.rows(slice(0, 299))
    assert (settle(waiting), state(waiting)) == ((0, 0, 0), ("pending", None))
    source.bars["AAPL"] = BARS
    assert (settle(waiting), state(waiting)) == ((1, 0, 0), ("scored", BARS.close[-1]))
    assert settle(waiting) == (0, 0, 0)


def test_a_session_that_never_came_is_missing_until_it_comes_after_all(
    waiting: Services, source: TestSource, clock: Clock
) -> None:
    clock.now += timedelta(days=1)
    longer = make_bars(301, last=str(MONDAY + timedelta(days=1)))
    source.bars["AAPL"] = longer.rows(np.arange(301) != 299)
    assert (settle(waiting), state(waiting)) == ((0, 0, 1), ("missing", None))
    assert settle(waiting) == (0, 0, 0)
    source.bars["AAPL"] = longer
    assert settle(waiting) == (1, 0, 0)
    assert state(waiting)[0] == "scored"


def test_a_restated_bar_scores_again_and_one_that_has_gone_takes_nothing_back(
    waiting: Services, source: TestSource
) -> None:
    settle(waiting)
    close = np.where(np.arange(300) == 299, 1.01 * BARS.close, BARS.close)
    source.bars["AAPL"] = replace(BARS, close=close, adj_close=close)
    assert (settle(waiting), state(waiting)) == ((0, 1, 0), ("scored", pytest.approx(1.01 * BARS.close[-1])))
    source.bars["AAPL"] = make_bars(200, last=str(MONDAY + timedelta(days=1))).rows(np.arange(200) != 198)
    assert settle(waiting) == (0, 0, 0)
    assert state(waiting)[0] == "scored"


def test_a_fault_from_before_all_forecasts_does_not_keep_the_record_from_going_on(
    waiting: Services, source: TestSource
) -> None:
    close = BARS.close.copy()
    close[20] = -1.0
    source.bars["AAPL"] = replace(BARS, close=close)
    assert (settle(waiting), state(waiting)) == ((1, 0, 0), ("scored", BARS.close[-1]))


def leap(bars: Bars, row: int) -> Bars:
    """The same bars with a quiet doubling before ``row``: what a split looks like that no price knows of."""
    return replace(
        bars, **{name: bars.column(name) * np.where(np.arange(len(bars)) < row, 1.0, 2.0) for name in PRICES}
    )


def test_what_looks_like_a_split_stops_the_record_there_and_not_before(
    services: Services, source: TestSource, clock: Clock
) -> None:
    bars = make_bars(304, last=str(MONDAY + timedelta(days=4)))
    days = [date.fromisoformat(str(day)) for day in bars.sessions[298:]]
    clock.now = forecast().steps[0].target_close_at + timedelta(days=7)
    with services.database.write() as tx:
        for as_of, target in pairwise(days):
            last = float(bars.close[bars.sessions == np.datetime64(as_of)][0])
            said = forecast(target_session=target, last_value=last)
            forecasts.store(tx, replace(said, forecast_id=str(target), as_of_session=as_of))
    source.bars["AAPL"] = leap(bars, 302)
    settled = settle_ticker("AAPL", Feed(services), sources=["files"], services=services)
    with services.database.read() as tx:
        states = [score.state for score in steps_of(tx, source="files")]
    assert (settled.scored, states) == (3, ["scored"] * 3 + ["pending"] * 2)
    (problem,) = settled.problems
    assert (problem["code"], problem["waiting"], problem["first"]) == ("invalid_bars", 2, str(days[4]))
    assert problem["findings"][0]["code"] == "unadjusted_split"
    source.bars["AAPL"] = bars
    assert settle(services) == (2, 0, 0)


def test_a_fault_on_the_first_day_of_all_forecasts_is_told_as_it_is(waiting: Services, source: TestSource) -> None:
    source.bars["AAPL"] = leap(BARS, 299)
    settled = settle_ticker("AAPL", Feed(waiting), sources=["files"], services=waiting)
    assert (settled.scored, state(waiting)) == (0, ("pending", None))
    assert [problem["waiting"] for problem in settled.problems] == [1]


def test_the_refresh_scores_what_waits_of_a_ticker_whose_last_version_is_gone(
    waiting: Services, source: TestSource, clock: Clock
) -> None:
    def due() -> list[str]:
        with waiting.database.read() as tx:
            return tickers.due(tx, now=clock.now)

    def refresh(names: list[str] | None) -> dict[str, Any]:
        return refresh_tickers(names, services=waiting, report=lambda *a, **k: None)

    with waiting.database.write() as tx:
        tickers.ensure(tx, "AAPL")
    source.bars["AAPL"] = BARS.rows(slice(0, 299))
    assert due() == ["AAPL"]
    assert (refresh(due())["scored"], state(waiting)[0]) == (0, "pending")
    assert due() == []  # not asked again at once
    clock.now += timedelta(seconds=waiting.settings.refresh_retry_seconds)
    assert due() == ["AAPL"]
    source.bars["AAPL"] = BARS
    done = refresh(None)
    assert (done["scored"], done["failed"], state(waiting)[0]) == (1, [], "scored")
    clock.now += timedelta(days=30)
    assert due() == []
    assert refresh(["AAPL"])["unchanged"] == []


def test_a_bar_restated_long_ago_is_found_among_those_that_are_not_read_again(
    waiting: Services, source: TestSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [FRIDAY - timedelta(days=7 * week) for week in range(1, 6)]
    with waiting.database.write() as tx:
        for number, day in enumerate(days):
            last = float(BARS.close[np.searchsorted(BARS.sessions, np.datetime64(day))])
            (one,) = a_forecast().steps
            one = replace(one, last_value=last, target_session=day + timedelta(days=3))
            provenance = {"snapshot_id": None, "source": "files"}
            old = a_forecast(f"old{number}", steps=(one,), last_close=last, as_of_session=day, provenance=provenance)
            forecasts.store(tx, old)
    assert settle(waiting) == (6, 0, 0)
    read: list[int] = []
    up_to = scores.up_to
    monkeypatch.setattr(scores, "up_to", lambda *a, **k: [read.append(len(found := up_to(*a, **k))), found][1])
    assert (settle(waiting), read) == ((0, 0, 0), [0])
    close = np.where(BARS.sessions == np.datetime64(days[3] + timedelta(days=3)), 1.01 * BARS.close, BARS.close)
    source.bars["AAPL"] = replace(BARS, close=close, adj_close=close)
    assert (settle(waiting), read) == ((0, 1, 0), [0, 5])
    source.bars["AAPL"] = make_bars(300, last=str(MONDAY))  # and back
    assert (settle(waiting), read) == ((0, 1, 0), [0, 5, 5])
    for snapshot in (waiting.settings.state_dir / "snapshots").iterdir():
        snapshot.unlink()
    source.bars["AAPL"] = replace(BARS, close=close, adj_close=close)
    assert settle(waiting) == (0, 1, 0)  # with nothing left to compare with, all are read
