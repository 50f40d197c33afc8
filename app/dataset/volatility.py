"""How much the values moved lately: the yardstick of every forecast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DECAY = 0.94
SEED_RETURNS = 22
BLOCK = 128  # bars
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
    later = squares[SEED_RETURNS + 1 :]
    known = np.isfinite(later)
    variances = _decayed(later[known], start)
    volatility[SEED_RETURNS:] = variances[np.concatenate([[0], np.cumsum(known)])]
    return np.asarray(np.maximum(np.sqrt(volatility), LOWEST))


def _decayed(squares: Floats, start: float) -> Floats:
    """Return the variance before any and after each of ``squares`` ``(n,)``, ``(n + 1,)``.

    Block by block, since a loop over all bars in Python would be most of what a forecast costs. Within a block
    the sum runs over ``square / decay^i``, which stays small.
    """
    blocks = np.zeros((-(-len(squares) // BLOCK), BLOCK))
    blocks.flat[: len(squares)] = squares
    decay = DECAY ** np.arange(BLOCK)
    before = start
    blocks = np.cumsum(blocks / decay, axis=1) * decay * (1 - DECAY)
    for block in blocks:
        block += before * DECAY * decay
        before = block[-1]
    return np.concatenate([[start], blocks.ravel()[: len(squares)]])
