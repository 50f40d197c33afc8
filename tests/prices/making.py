"""Histories made for tests: quiet walks with every field in its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import MappingProxyType

import numpy as np

from app.domain.history import Bars, PriceHistory
from app.sessions.calendars import exchange_of, sessions_between


def sessions_of(ticker: str, count: int, *, start: date = date(2015, 1, 2)) -> list[date]:
    """Return the first ``count`` sessions of the ticker's exchange from ``start`` on."""
    end = date(start.year + count // 200 + 1, 12, 31)
    return sessions_between(exchange_of(ticker), start, end)[:count]


def walk(count: int = 60, *, ticker: str = "ABC", start: float = 100.0, seed: int = 1) -> PriceHistory:
    """Return a history of small moves with volumes and ranges, on the sessions of its exchange."""
    random = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opening = close * np.exp(random.normal(0, 0.003, count))
    bars = Bars(
        sessions=np.array(sessions_of(ticker, count), dtype="datetime64[D]"),
        open=opening,
        high=np.maximum(opening, close) * (1 + random.uniform(0.002, 0.01, count)),
        low=np.minimum(opening, close) * (1 - random.uniform(0.002, 0.01, count)),
        close=close,
        adj_close=close.copy(),
        volume=random.uniform(900_000, 1_100_000, count).round(),
        extra=MappingProxyType({}),
    )
    return PriceHistory(ticker=ticker, source="test", bars=bars)


def changed(history: PriceHistory, **columns: object) -> PriceHistory:
    """Return the history with columns replaced; a dict maps rows to new values."""
    values = {}
    for name, change in columns.items():
        column = getattr(history.bars, name).copy()
        if isinstance(change, dict):
            for row, value in change.items():
                column[row] = value
        else:
            column = np.asarray(change)
        values[name] = column
    return replace(history, bars=replace(history.bars, **values))


def scaled(history: PriceHistory, rows: slice, factor: float, names: tuple[str, ...]) -> PriceHistory:
    """Return the history with the rows of some columns multiplied."""
    values = {}
    for name in names:
        column = getattr(history.bars, name).copy()
        column[rows] *= factor
        values[name] = column
    return replace(history, bars=replace(history.bars, **values))
