"""Is a difference more than luck? Two answers that know about serial correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from arch.bootstrap import StationaryBootstrap
from numpy.typing import NDArray
from scipy.special import stdtr
from statsmodels.tsa.api import diebold_mariano_test

Floats = NDArray[np.float64]

LAGS = 11
FEWEST = 30
REPETITIONS = 1000
SEED = 7


@dataclass(frozen=True)
class Comparison:
    """``statistic`` < 0: the first has the lower losses; ``p`` is one-sided, small when that is more than luck."""

    statistic: float
    p: float


def diebold_mariano(losses: Floats, baseline: Floats) -> Comparison | None:
    """Test whether ``losses`` ``(n,)`` are lower than those of ``baseline``, session by session.

    Diebold and Mariano (1995) with a Newey-West variance of 11 lags and the correction of Harvey, Leybourne and
    Newbold (1997). ``None`` with fewer than 30 sessions or without any difference.
    """
    difference = losses - baseline
    if len(difference) < FEWEST or not np.ptp(difference) > 0:
        return None
    result = diebold_mariano_test(
        np.zeros(len(losses)), losses, baseline, lags=LAGS, criterion=lambda _, loss: loss, harvey_adj=True
    )
    return Comparison(float(result.statistic), float(stdtr(len(losses) - 1, result.statistic)))


def skill_interval(errors: Floats, baseline: Floats) -> tuple[float, float] | None:
    """Return the 95 % interval of ``1 - RMSE / RMSE of the baseline`` from errors ``(n,)`` each.

    Stationary bootstrap (Politis and Romano, 1994), blocks of 11 sessions on average, always the same draws.
    ``None`` with fewer than 30 sessions or where it is not finite.
    """
    if len(errors) < FEWEST:
        return None
    draws = StationaryBootstrap(LAGS, errors**2, baseline**2, seed=SEED)
    with np.errstate(divide="ignore", invalid="ignore"):
        interval = draws.conf_int(_skill, reps=REPETITIONS, method="percentile", size=0.95)[:, 0]
    return (float(interval[0]), float(interval[1])) if np.isfinite(interval).all() else None


def _skill(squares: Floats, baseline: Floats) -> Floats:
    return np.asarray([1 - np.sqrt(squares.mean() / baseline.mean())])
