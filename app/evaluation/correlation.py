"""How closely instruments moved together: what speaks for a peer, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.dividends import reinvested
from app.domain.history import Bars, PriceHistory, Sessions

Floats = NDArray[np.float64]

#: Below this share of its own size a column's spread is the rounding of its numbers.
_STILL = 1e-10


@dataclass(frozen=True, eq=False, kw_only=True)
class Correlation:
    """Pearson correlations of some tickers over the sessions that all of them share.

    ``sessions`` are ``(n,)``. ``returns``, of total log returns from one shared session to the next, and ``prices``, of
    closes, are ``(tickers, tickers)``; NaN where one of the two never moved.
    """

    tickers: tuple[str, ...]
    sessions: Sessions
    returns: Floats
    prices: Floats

    def to_dict(self, *, top: int | None = None) -> dict[str, Any]:
        """Return the correlations with the first ticker, the ``top`` nearest first, and their matrix, JSON-ready.

        The larger the correlation of returns, whatever its sign, the nearer; prices of all that grows correlate.
        """
        order = self._ranked()[:top]
        rows = [0, *order]
        known = [str(session) for session in self.sessions[[0, -1]]] if len(self.sessions) else [None, None]
        return {
            "sessions": len(self.sessions),
            "first_session": known[0],
            "last_session": known[1],
            "items": [
                {
                    "ticker": self.tickers[row],
                    "rank": place + 1,
                    "returns": _number(self.returns[0, row]),
                    "prices": _number(self.prices[0, row]),
                }
                for place, row in enumerate(order)
            ],
            "matrix": {
                "tickers": [self.tickers[row] for row in rows],
                "returns": _table(self.returns[np.ix_(rows, rows)]),
                "prices": _table(self.prices[np.ix_(rows, rows)]),
            },
        }

    def _ranked(self) -> list[int]:
        """Return the rows of all tickers but the first, the nearest first."""
        near = np.nan_to_num(np.abs(self.returns[0]), nan=-1.0)
        return sorted(range(1, len(self.tickers)), key=lambda row: (-near[row], self.tickers[row]))


def correlate(bars: Mapping[str, Bars]) -> Correlation:
    """Correlate the closes of ``bars`` over the sessions in which every ticker has one; the first ticker leads.

    With fewer than three of them correlations mean nothing: NaN, or 1 and -1.
    """
    traded = {ticker: one.rows(one.close > 0) for ticker, one in bars.items()}
    shared: Sessions = reduce(np.intersect1d, (one.sessions for one in traded.values()))
    total, closes = (
        np.stack([one.close[np.searchsorted(one.sessions, shared)] for one in some])
        for some in (map(reinvested, traded.values()), traded.values())
    )
    return Correlation(
        tickers=tuple(bars),
        sessions=shared,
        returns=_pearson(np.diff(np.log(total), axis=1)),
        prices=_pearson(closes),
    )


def correlation_of(
    history: PriceHistory, peers: Mapping[str, PriceHistory], *, until: date, top: int | None = None
) -> dict[str, Any]:
    """Return how ``peers`` moved with ``history`` up to the session ``until`` and not a day later, JSON-ready."""
    known = {one.ticker: one.between(end=until).bars for one in (history, *peers.values())}
    return {"source": history.source, **correlate(known).to_dict(top=top)}


def _pearson(rows: Floats) -> Floats:
    """Correlate the rows of ``(series, n)`` with each other, ``(series, series)``; NaN for those that stand still."""
    if rows.shape[1] < 2:
        return np.full((len(rows), len(rows)), np.nan)
    moved = np.ptp(rows, axis=1) > _STILL * np.abs(rows).max(axis=1)
    away = rows - rows.mean(axis=1, keepdims=True)
    away /= np.where(moved, np.sqrt((away**2).sum(axis=1)), np.nan)[:, None]
    table = np.clip(away @ away.T, -1.0, 1.0)
    np.fill_diagonal(table, np.where(moved, 1.0, np.nan))
    return np.asarray(table)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _table(values: Floats) -> list[list[float | None]]:
    return [[_number(value) for value in row] for row in values]
