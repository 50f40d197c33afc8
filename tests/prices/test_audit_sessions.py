from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from app.domain.history import Bars
from app.prices.audit import audit
from tests.prices.making import changed, walk
from tests.prices.test_audit_rows import codes

PRICES = ("open", "high", "low", "close")


def every_day(count: int = 90, *, ticker: str = "ABC", skip: set[int] | None = None, volume: float = 1e6):
    """A walk over calendar days without the weekdays in ``skip``."""
    days = [date(2015, 6, 1) + timedelta(days=n) for n in range(count)]
    days = [day for day in days if day.weekday() not in (skip or set())]
    history = walk(len(days))
    columns = {name: getattr(history.bars, name) for name in (*PRICES, "adj_close")}
    amount = np.full(len(days), volume)
    bars = Bars(sessions=np.array(days, dtype="datetime64[D]"), **columns, volume=amount)
    return replace(history, ticker=ticker, bars=bars)


def weekdays(history):
    return {day.weekday() for day in history.bars.sessions.astype(object)}


def test_a_gap_is_reported_with_its_length():
    history = walk()
    holed = replace(history, bars=history.bars.rows(np.r_[0:20, 26:60]))
    fit, findings = audit(holed)
    assert codes(findings) == {("missing_sessions", "reported"): 6}
    assert f"{history.bars.sessions[20]} to {history.bars.sessions[25]}" in findings[0].detail
    assert len(fit) == 54


def test_on_an_exchange_without_a_calendar_only_long_gaps_count():
    history = walk()
    short = replace(history, ticker="ABC.ZZ", bars=history.bars.rows(np.r_[0:20, 23:60]))
    assert audit(short)[1] == []
    long = replace(history, ticker="ABC.ZZ", bars=history.bars.rows(np.r_[0:20, 30:60]))
    assert [finding.code for finding in audit(long)[1]] == ["missing_sessions"]


def test_weekend_bars_without_any_trade_are_dropped():
    history = every_day()
    weekend = np.array([day.weekday() >= 5 for day in history.bars.sessions.astype(object)])
    rows = np.flatnonzero(weekend)
    close = history.bars.close.copy()
    for row in rows:
        close[row] = close[row - 1]
    still = {name: {int(row): close[row] for row in rows} for name in PRICES}
    fit, findings = audit(changed(history, **still, volume=dict.fromkeys(map(int, rows), 0.0)))
    assert codes(findings)[("non_session_bars", "repaired")] >= len(rows)
    assert weekdays(fit) == {0, 1, 2, 3, 4}


def test_sunday_evenings_without_volume_are_no_sessions():
    fit, findings = audit(every_day(skip={5}, volume=np.nan))
    assert ("non_session_bars", "repaired") in codes(findings)
    assert weekdays(fit) == {0, 1, 2, 3, 4}


def test_a_traded_weekend_stays_and_is_reported():
    fit, findings = audit(every_day(skip={6}))
    assert ("non_session_bars", "reported") in codes(findings)
    assert 5 in weekdays(fit)


def test_a_weekend_with_prices_of_its_own_stays_though_only_closes_are_given():
    history = every_day(volume=np.nan)
    nothing = np.full(len(history), np.nan)
    fit, findings = audit(changed(history, open=nothing, high=nothing, low=nothing))
    assert ("non_session_bars", "repaired") not in codes(findings)
    assert len(fit) == len(history)


def test_a_market_that_never_rests_keeps_its_weekends():
    for ticker, volume in (("BTC-USD", 1e6), ("BITCOIN", np.nan)):
        fit, _ = audit(every_day(ticker=ticker, volume=volume))
        assert weekdays(fit) == set(range(7))
    assert audit(every_day(ticker="BTC-USD"))[1] == []


@pytest.mark.parametrize("ticker", ["ABC.NS", "ABC"])
def test_a_single_special_session_is_reported(ticker):
    history = walk(ticker=ticker)
    saturday = np.datetime64("2015-02-28")
    row = int(np.searchsorted(history.bars.sessions, saturday))
    rows = history.bars.rows(np.r_[0:row, row, row:60])
    days = rows.sessions.copy()
    days[row] = saturday
    close = rows.close.copy()
    close[row] *= 1.003
    fit, findings = audit(replace(history, bars=replace(rows, sessions=days, close=close)))
    assert codes(findings)[("non_session_bars", "reported")] == 1
    assert saturday in fit.bars.sessions
