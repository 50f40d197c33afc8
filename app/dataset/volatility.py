"""How much the values moved lately: the yardstick of every forecast."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DECAY = 0.94
SEED_RETURNS = 22
LOWEST = 1e-4  # one basis point a session: flat stretches divide by it instead of by zero


def log_returns(values: Floats) -> Floats:
    """Return ``log(x_t / x_{t-1})`` as ``(bars,)``; NaN at the first bar and where a value is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
        returns: Floats = np.diff(logs, prepend=np.nan)
    returns[~np.isfinite(returns)] = np.nan
    return returns


def ewma_volatility(returns: Floats) -> Floats:
    """Return the volatility of the next session's return as known at each bar, ``(bars,)``.

    The variance is ``0.94`` x its predecessor + ``0.06`` x the squared return (RiskMetrics, 1996), started from the
    mean square of the first 22 returns and NaN until they are known. A missing return leaves it as it was.
    ``returns`` starts with the NaN of the first bar.
    """
    volatility = np.full(len(returns), np.nan)
    if len(returns) <= SEED_RETURNS:
        return volatility
    squares = np.square(returns)
    seeds = squares[1 : SEED_RETURNS + 1]
    start = float(np.mean(seeds[np.isfinite(seeds)])) if np.isfinite(seeds).any() else LOWEST**2
    volatility[SEED_RETURNS:] = list(accumulate(squares[SEED_RETURNS + 1 :].tolist(), _decayed, initial=start))
    return np.asarray(np.maximum(np.sqrt(volatility), LOWEST))


def _decayed(variance: float, square: float) -> float:
    return variance if np.isnan(square) else DECAY * variance + (1 - DECAY) * square
