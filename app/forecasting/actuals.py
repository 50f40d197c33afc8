"""What a field became, in the prices of the day on which it was forecast."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from math import isfinite, log
from operator import mul

import numpy as np

from app.domain.dividends import dividend_factors
from app.domain.history import BAR_FIELDS, TRADED_FIELDS, Bars, PriceHistory
from app.domain.score import Score

#: A restated bar moves less than this; what moves more is another price basis, such as a split that nobody named.
_RESTATED = log(1.1)


@dataclass(frozen=True)
class Actual:
    """``value`` is the field in the prices of the day of issue, ``close`` the session's close as quoted now."""

    value: float
    close: float | None


class Splits:
    """The splits of ``history``, put in order once for however many sessions are asked about."""

    def __init__(self, history: PriceHistory) -> None:
        splits = sorted((a.session, a.value) for a in history.actions if a.kind == "split")
        self._sessions = [session for session, _ in splits]
        newest_first = accumulate((value for _, value in reversed(splits)), mul, initial=1.0)
        self._become = [*newest_first][::-1]

    def since(self, session: date) -> float:
        """Return how many shares one share of that ``session`` has become."""
        return self._become[bisect_right(self._sessions, session)]


def actual_of(step: Score, history: PriceHistory) -> Actual | None:
    """Return what came of a forecast ``step``; ``None`` while ``history`` has no such value.

    Splits since ``as_of_session`` are undone by their factor, and dividends up to the target session added back where
    there are adjusted closes: neither is an error of who forecast a return.
    """
    bars = history.bars
    at, then = row_of(bars, step.target_session), row_of(bars, step.as_of_session)
    quoted = _value(bars, step.field, at)
    if at is None or quoted is None:
        return None
    splits = Splits(history).since(step.as_of_session)
    factor = basis_of(step.field, step.last_value, quoted=_value(bars, step.field, then), splits=splits)
    if step.field in TRADED_FIELDS:
        factor *= _dividends(history, then, at)
    return Actual(quoted * factor, _value(bars, "close", at))


def basis_of(field: str, last_value: float, *, quoted: float | None, splits: float) -> float:
    """Return what present quotes are multiplied by to be in the prices of the day of issue, ``splits`` ago.

    ``last_value`` is what the ``field`` was on that day for who issued the forecast, ``quoted`` what it is said to
    have been now, ``None`` when nothing is said any more.
    """
    if quoted is None:
        return splits
    observed = last_value / quoted
    # A split may have been in the prices of the day of issue already.
    nearest = min((1.0, splits), key=lambda factor: abs(log(observed / factor)))
    is_known = field in TRADED_FIELDS and abs(log(observed / nearest)) < _RESTATED
    return nearest if is_known else observed


def row_of(bars: Bars, session: date) -> int | None:
    """Return the row of ``session``, ``None`` when it has no bar."""
    row = int(np.searchsorted(bars.sessions, np.datetime64(session)))
    return row if row < len(bars) and bars.sessions[row] == np.datetime64(session) else None


def _dividends(history: PriceHistory, then: int | None, at: int) -> float:
    """By how much more the prices have grown up to the row ``at`` for who reinvested the dividends since ``then``."""
    if then is None:
        return 1.0
    named = [action.session for action in history.actions if action.kind == "dividend"]
    return float(np.prod(dividend_factors(history.bars.rows(slice(then, at + 1)), named)))


def _value(bars: Bars, field: str, row: int | None) -> float | None:
    """Return a positive value, ``None`` where there is none."""
    if row is None or (field not in BAR_FIELDS and field not in bars.extra):
        return None
    value = float(bars.column(field)[row])
    return value if isfinite(value) and value > 0 else None
