"""What is to be foretold: the way of a field over the coming sessions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def future_log_returns(values: Floats, horizon: int) -> Floats:
    """Return ``log(x_{t+k} / x_t)`` for ``k = 1 … horizon``, ``(bars, horizon)``; NaN where the future is not known."""
    logs = np.log(values)
    returns = np.full((len(values), horizon), np.nan)
    for step in range(1, min(horizon, len(values) - 1) + 1):
        returns[:-step, step - 1] = logs[step:] - logs[:-step]
    return returns


def step_scale(sigma: Floats, horizon: int) -> Floats:
    """Return the spread that ``sigma`` ``(origins,)`` means for each step, ``(origins, horizon)``: it grows with √k."""
    return sigma[:, None] * np.sqrt(np.arange(1, horizon + 1))
