"""Is a difference more than luck? Answers that know about serial correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from arch.bootstrap import MCS, StationaryBootstrap
from numpy.typing import NDArray
from scipy.special import stdtr
from statsmodels.tsa.api import diebold_mariano_test

Floats = NDArray[np.float64]

LAGS = 11
FEWEST = 30
REPETITIONS = 1000
CONFIDENCE = 0.9
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


def skill_intervals(errors: Floats, baseline: Floats) -> list[tuple[float, float] | None]:
    """Return the 95 % interval of ``1 - RMSE / RMSE of the baseline``, one a column of ``errors`` ``(n, columns)``.

    Stationary bootstrap (Politis and Romano, 1994), blocks of 11 sessions on average, always the same draws, and the
    same for all. ``None`` with fewer than 30 sessions or where it is not finite.
    """
    if len(errors) < FEWEST:
        return [None] * errors.shape[1]
    draws = StationaryBootstrap(LAGS, errors**2, baseline**2, seed=SEED)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = draws.conf_int(_skill, reps=REPETITIONS, method="percentile", size=0.95).T
    return [(float(low), float(high)) if np.isfinite([low, high]).all() else None for low, high in ends]


def confidence_set(losses: Mapping[str, Floats]) -> dict[str, float] | None:
    """Return how well each contestant's ``losses`` ``(n,)`` go with being the best, as a p-value.

    Those of 0.1 and more are the 90 % model confidence set (Hansen, Lunde and Nason, 2011): bootstrap in blocks of 11
    sessions, always the same draws. Who has the same losses has the same p. ``None`` with fewer than 30 sessions.
    """
    table = np.stack(list(losses.values()), axis=1)
    if len(table) < FEWEST:
        return None
    # Of two that never differ the difference has no variance to be measured by.
    different, place = np.unique(table, axis=1, return_inverse=True)
    if different.shape[1] == 1:
        return dict.fromkeys(losses, 1.0)
    found = MCS(different, size=1 - CONFIDENCE, reps=REPETITIONS, block_size=LAGS, seed=SEED)
    with np.errstate(divide="ignore", invalid="ignore"):
        found.compute()
    p = found.pvalues["Pvalue"]
    return {name: float(p.loc[at]) for name, at in zip(losses, place.ravel(), strict=True)}


def _skill(squares: Floats, baseline: Floats) -> Floats:
    return np.asarray(1 - np.sqrt(squares.mean(axis=0) / baseline.mean()))
