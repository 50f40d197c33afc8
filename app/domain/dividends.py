"""Dividends are no falls: what the prices came to for who reinvests them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from app.domain.history import Bars, Floats, Sessions

#: Adjusted closes come rounded: to cents at worst, and what has more digits than this is not rounded at all.
_FEWEST_DIGITS, _MOST_DIGITS = 2, 6
_SINGLE = 1e-7  # relative: some sources keep single precision
_SMALLEST = 1e-5  # of the price: no dividend is smaller, and noise is


def reinvested(bars: Bars) -> Bars:
    """Return the bars as if every dividend had been reinvested: from row to row, prices move by their total return.

    Open to close are worth what they are quoted at in the first bar, and since then grow by the dividends beside. Only
    changes and ratios of them mean anything, and those know no later bar: a dividend to come restates all adjusted
    closes before it by one factor, and leaves this as it was.
    """
    worth = np.cumprod(dividend_factors(bars))
    open_, high, low, close = (values * worth for values in (bars.open, bars.high, bars.low, bars.close))
    return replace(bars, open=open_, high=high, low=low, close=close)


def dividend_factors(bars: Bars, named: Sequence[date] = ()) -> Floats:
    """Return what the step from the bar before has to be multiplied by to be a total return, ``(bars,)``.

    It is what adjusted over quoted close has grown by, and 1 where either is missing, and where its step is smaller
    than the rounding of its numbers. Where the sessions of dividends are ``named``, there are no others; one on a bar
    that lacks a number counts at the next bar that has both.
    """
    factors = np.ones(len(bars))
    known = np.flatnonzero((bars.adj_close > 0) & (bars.close > 0))
    adjusted = bars.adj_close[known]
    share = adjusted / bars.close[known]
    growth = share[1:] / share[:-1]
    if named:
        pays = _named(bars.sessions[known], named)
    else:
        pays = (np.diff(known) == 1) & (np.abs(growth - 1.0) > _rounding(adjusted))
    factors[known[1:]] = np.where(pays, growth, 1.0)
    return factors


def _named(sessions: Sessions, named: Sequence[date]) -> NDArray[np.bool_]:
    """Mark the sessions, but for the first, that are the first since a named dividend."""
    rows = np.searchsorted(sessions, np.array(named, dtype="datetime64[D]"))
    return np.isin(np.arange(1, len(sessions)), rows)


def _rounding(adjusted: Floats) -> Floats:
    """Return how far rounding alone may move adjusted over quoted close from bar to bar, ``(bars - 1,)``.

    By the last digit that the two numbers show themselves: no other bar has a say.
    """
    last_digit = np.full(len(adjusted), 10.0**-_FEWEST_DIGITS)
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS):
        is_finer = np.abs(np.round(adjusted, digits) - adjusted) > _SINGLE * adjusted
        last_digit[is_finer] = 10.0 ** -(digits + 1)
    step = np.minimum(last_digit[1:], last_digit[:-1]) / np.minimum(adjusted[1:], adjusted[:-1])
    return np.asarray(np.maximum(step, _SMALLEST))
