from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from app.sessions.calendars import (
    Exchange,
    ends_at,
    exchange_of,
    next_sessions,
    session_on,
    sessions_between,
    sessions_closed_since,
)


@pytest.mark.parametrize(
    ("ticker", "name"),
    [
        ("AAPL", "XNYS"),
        ("BRK-B", "XNYS"),
        ("^GSPC", "XNYS"),
        ("^N225", "XTKS"),
        ("RELIANCE.NS", "XBOM"),
        ("M&M.NS", "XBOM"),
        ("600519.SS", "XSHG"),
        ("000001.SZ", "XSHG"),
        ("SHOP.TO", "XTSE"),
        ("VOD.L", "XLON"),
        ("SAP.DE", "XETR"),
        ("BTC-USD", "24/7"),
        ("ETH-EUR", "24/7"),
        ("EURUSD=X", "24/5"),
        ("CL=F", "CMES"),
        ("2513.HK", "XHKG"),
    ],
)
def test_the_class_of_a_ticker_comes_before_its_suffix(ticker, name):
    exchange = exchange_of(ticker)
    assert (exchange.name, exchange.approximate) == (name, False)


def test_what_the_source_says_helps_where_the_ticker_does_not():
    assert exchange_of("^UNHEARD", timezone="Asia/Tokyo").name == "XTKS"
    assert exchange_of("ABC.ZZ", timezone="Europe/London").name == "XLON"
    assert exchange_of("PEPE24478-XYZ", instrument="CRYPTOCURRENCY").name == "24/7"


@pytest.mark.parametrize("ticker", ["ABC.ZZ", "^UNHEARD", "QNBK.QA"])
def test_an_unknown_exchange_falls_back_to_weekdays_and_says_so(ticker):
    exchange = exchange_of(ticker, timezone="Asia/Qatar")
    assert exchange == Exchange("weekday_fallback", approximate=True, timezone="Asia/Qatar")
    sessions, approximate = next_sessions(exchange, date(2026, 11, 20), 2)
    assert [session.day for session in sessions] == [date(2026, 11, 23), date(2026, 11, 24)]
    assert approximate
    assert sessions[0].close_at == datetime(2026, 11, 24, tzinfo=ZoneInfo("Asia/Qatar"))


def test_holidays_are_skipped_over_the_turn_of_the_year():
    sessions, approximate = next_sessions(exchange_of("^GSPC"), date(2018, 12, 31), 1)
    assert sessions[0].day == date(2019, 1, 2)
    assert not approximate


def test_dates_of_long_ago_are_known():
    sessions, approximate = next_sessions(exchange_of("^GSPC"), date(1985, 12, 31), 2)
    assert [session.day for session in sessions] == [date(1986, 1, 2), date(1986, 1, 3)]
    assert not approximate


def test_dates_before_the_calendar_are_weekdays_and_flagged():
    sessions, approximate = next_sessions(exchange_of("^GSPC"), date(1955, 12, 30), 1)
    assert sessions[0].day == date(1956, 1, 2)
    assert approximate


def test_an_early_close_is_known():
    sessions, _ = next_sessions(exchange_of("SPY"), date(2026, 11, 25), 1)
    assert sessions[0].day == date(2026, 11, 27)
    assert sessions[0].close_at == datetime(2026, 11, 27, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(("day", "hour"), [(date(2026, 3, 6), 21), (date(2026, 3, 9), 20), (date(2026, 11, 2), 21)])
def test_closes_follow_daylight_saving_time(day, hour):
    assert session_on(exchange_of("SPY"), day).close_at == datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def test_a_crypto_session_ends_at_midnight_utc_weekends_included():
    saturday = session_on(exchange_of("BTC-USD"), date(2026, 11, 21))
    assert saturday.close_at == datetime(2026, 11, 22, tzinfo=UTC)


def test_india_beyond_its_calendar_is_flagged_and_keeps_its_hours_on_weekdays():
    sessions, approximate = next_sessions(exchange_of("INFY.NS"), date(2027, 1, 1), 2)
    assert [session.day for session in sessions] == [date(2027, 1, 4), date(2027, 1, 5)]
    assert sessions[0].close_at == datetime(2027, 1, 4, 10, 0, tzinfo=UTC)
    assert approximate


def test_a_horizon_that_crosses_the_calendars_end_is_flagged_as_a_whole():
    sessions, approximate = next_sessions(exchange_of("INFY.NS"), date(2026, 12, 29), 4)
    assert [session.day.day for session in sessions] == [30, 31, 1, 4]
    assert approximate
    assert not next_sessions(exchange_of("INFY.NS"), date(2026, 12, 29), 2)[1]


def test_a_calendar_that_cannot_be_built_counts_weekdays():
    sessions, approximate = next_sessions(Exchange("NOWHERE", approximate=False), date(2026, 11, 20), 1)
    assert sessions[0].day == date(2026, 11, 23)
    assert approximate


def test_closed_sessions_are_counted_to_the_second():
    exchange = exchange_of("SPY")
    close = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)
    assert sessions_closed_since(exchange, date(2026, 11, 18), now=close) == 2
    assert sessions_closed_since(exchange, date(2026, 11, 18), now=close.replace(hour=20, minute=59)) == 1
    assert sessions_closed_since(exchange, date(2026, 11, 20), now=close) == 0
    assert sessions_closed_since(exchange, date(2026, 12, 20), now=close) == 0


def test_tokyo_closes_before_new_york_wakes():
    morning = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
    assert sessions_closed_since(exchange_of("7203.T"), date(2026, 11, 19), now=morning) == 1
    assert sessions_closed_since(exchange_of("SPY"), date(2026, 11, 19), now=morning) == 0


def test_a_bar_of_a_day_of_rest_ends_with_its_day():
    assert ends_at(exchange_of("SPY"), date(2026, 11, 21)) == datetime(2026, 11, 22, tzinfo=UTC)


def test_sessions_between_includes_both_ends():
    exchange = exchange_of("SPY")
    assert sessions_between(exchange, date(2026, 11, 25), date(2026, 11, 27)) == [
        date(2026, 11, 25),
        date(2026, 11, 27),
    ]
    assert sessions_between(exchange_of("A.NS"), date(2026, 12, 31), date(2027, 1, 3)) == [
        date(2026, 12, 31),
        date(2027, 1, 1),
    ]


def test_importing_the_calendars_loads_neither_pandas_nor_the_library():
    code = (
        "import sys, app.sessions.calendars; print([m for m in ('pandas', 'exchange_calendars') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"
