"""Made-up bars for the tests of dataset, evaluation and training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.domain.history import Bars


def made_up_bars(count: int, *, seed: int = 7) -> Bars:
    """Weekday bars of a random walk whose volatility wanders; the close lies inside the range of its day."""
    random = np.random.default_rng(seed)
    volatility = 0.01 * np.exp(0.5 * np.sin(np.arange(count) / 40) + 0.1 * random.standard_normal(count))
    returns = volatility * random.standard_t(5, count)
    close = 100 * np.exp(np.cumsum(returns))
    day_open = np.concatenate([[100.0], close[:-1]]) * np.exp(0.2 * volatility * random.standard_normal(count))
    high = np.maximum(day_open, close) * np.exp(0.3 * volatility * random.random(count))
    low = np.minimum(day_open, close) * np.exp(-0.3 * volatility * random.random(count))
    first = np.datetime64("2010-01-04")
    return Bars(
        sessions=np.busday_offset(first, np.arange(count)).astype("datetime64[D]"),
        open=day_open,
        high=high,
        low=low,
        close=close,
        adj_close=close,
        volume=np.round(1e6 * np.exp(0.3 * random.standard_normal(count))),
    )


def with_other_future(bars: Bars, cut: int) -> Bars:
    """The same bars up to and including ``cut``, entirely different ones after it."""
    after = np.arange(len(bars)) > cut
    changed = {name: np.where(after, getattr(bars, name) * 3.7 + 11, getattr(bars, name)) for name in _FIELDS}
    return replace(bars, **changed)


def paying(bars: Bars, *, every: int, share: float) -> Bars:
    """The same quotes with a dividend of ``share`` of the price before each ``every``-th bar."""
    return replace(
        bars, adj_close=bars.close * (1 - share) ** ((len(bars) - 1) // every - np.arange(len(bars)) // every)
    )


_FIELDS = ("open", "high", "low", "close", "adj_close", "volume")
