"""Rules about the calendar: bars on days of rest, and sessions without a bar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from app.domain.finding import Finding
from app.domain.history import Floats, PriceHistory
from app.prices.audit_finding import OHLC, Checked, Mask, finding, without
from app.sessions.calendars import Exchange, exchange_of, is_exact, sessions_between

# A weekday of the weekend that comes this often is a habit of the source, not a special session.
_HABIT = 0.25
# Without an exact calendar, a gap is only worth a word when no holiday explains it.
_LONG_GAP = 5


def drop_non_sessions(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Drop bars of days of rest that show no trade of their own; report those that do.

    A bar without volume on the one weekend day that comes week after week is the evening opening of
    the week, and no session: Monday's bar stands on its own without it.
    """
    exchange = _exchange(history)
    days = _days(history)
    sessions = set(sessions_between(exchange, min(days), max(days)))
    resting = np.array([day not in sessions for day in days])
    if not resting.any():
        return history, []
    drop = resting & (_idle(history) | _evening_openings(history, days))
    keep = resting & ~drop
    findings: list[Finding] = []
    if drop.any():
        detail = f"Bars without trade on days without a session ({exchange.name}): {int(drop.sum())}; dropped."
        findings.append(finding("non_session_bars", "repaired", detail, history, rows=drop))
    if keep.any():
        detail = f"Bars on days without a session ({exchange.name}): {int(keep.sum())}; they show trade and stay."
        findings.append(finding("non_session_bars", "reported", detail, history, rows=keep))
    return without(history, drop), findings


def check_gaps(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Report sessions between the first and the last bar that have none."""
    exchange = _exchange(history)
    have = set(_days(history))
    expected = sessions_between(exchange, min(have), max(have))
    runs = _runs(expected, have, exchange)
    if not runs:
        return history, []
    missing = [day for run in runs for day in run]
    longest = max(runs, key=len)
    detail = (
        f"Sessions ({exchange.name}) without a bar: {len(missing)}; "
        f"the longest gap, {longest[0]} to {longest[-1]}, is of {len(longest)}."
    )
    examples = tuple(run[0].isoformat() for run in sorted(runs, key=len, reverse=True)[:5])
    found = Finding(code="missing_sessions", severity="reported", detail=detail, count=len(missing), examples=examples)
    return history, [found]


def _exchange(history: PriceHistory) -> Exchange:
    return exchange_of(history.ticker, timezone=history.timezone, instrument=history.instrument)


def _days(history: PriceHistory) -> list[date]:
    days: list[date] = history.bars.sessions.astype("datetime64[D]").tolist()
    return days


def _idle(history: PriceHistory) -> Mask:
    """Mark bars without volume in which no price differs from the close before, or none is given."""
    close = history.bars.close
    before = np.concatenate([[np.nan], close[:-1]])
    prices = [history.bars.column(name) for name in OHLC]
    still = np.all([np.isnan(p) | (p == 0) | (p == before) for p in prices], axis=0)
    return np.asarray(still & ~_traded(history.bars.volume))


def _evening_openings(history: PriceHistory, days: Sequence[date]) -> Mask:
    """Mark weekend bars without volume, if Saturdays or Sundays, but not both, come as a habit."""
    weekday = np.array([day.weekday() for day in days])
    weeks = max(1, int((weekday == 0).sum()))
    habits = [int((weekday == day).sum()) / weeks >= _HABIT for day in (5, 6)]
    return np.asarray((weekday >= 5) & ~_traded(history.bars.volume) & (sum(habits) == 1))


def _traded(volume: Floats) -> Mask:
    return np.asarray(np.nan_to_num(volume) > 0)


def _runs(expected: Sequence[date], have: set[date], exchange: Exchange) -> list[list[date]]:
    """Group missing sessions that follow each other; short runs count only on an exact calendar."""
    runs: list[list[date]] = []
    open_run = False
    for day in expected:
        missing = day not in have
        if missing and open_run:
            runs[-1].append(day)
        elif missing:
            runs.append([day])
        open_run = missing
    return [run for run in runs if len(run) > _LONG_GAP or is_exact(exchange, run[0])]
