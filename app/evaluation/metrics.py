"""Scores of distributions against what came."""

from __future__ import annotations

import numpy as np
import scoringrules
from numpy.typing import NDArray

from app.domain.distribution import Predictive

Floats = NDArray[np.float64]

LEVELS = (80, 90, 95)
STEPS_SHOWN = 30


def scores(said: Predictive, actual: Floats, last_value: Floats) -> dict[str, float | None]:
    """Return every metric of the first step, and ``rmse``, ``mae`` and ``crps`` of further ones.

    These are the first thirty and the last. ``rmse_path`` is over all steps of the first origin's forecast, ``None``
    when not all of them came.

    ``actual`` ``(n, horizon)`` are log returns from ``last_value`` ``(n,)``. ``rmse`` and ``mae`` are in price units
    around the median, ``crps`` and interval scores in log-return units: lower is better. ``hit_rate`` is the share
    of rightly foretold directions, to be read against ``always_up_rate``: what naming "up" each time would have
    had; ``None`` for who names no direction.
    """
    table: dict[str, float | None] = {}
    losses = crps(said, actual)
    errors = price_errors(said, actual, last_value)
    horizon = actual.shape[1]
    for step in sorted({*range(min(horizon, STEPS_SHOWN)), horizon - 1}):
        suffix = "" if step == 0 else f"_step_{step + 1}"
        table[f"rmse{suffix}"] = finite(np.sqrt(_mean(errors[:, step] ** 2)))
        table[f"mae{suffix}"] = finite(_mean(np.abs(errors[:, step])))
        table[f"crps{suffix}"] = finite(_mean(losses[:, step]))
    if horizon > 1:
        table["rmse_path"] = finite(np.sqrt(np.mean(errors[0] ** 2)))
    for level in LEVELS:
        table[f"coverage_{level}"] = finite(coverage(said, actual, level))
        table[f"interval_score_{level}"] = finite(interval_score(said, actual, level))
    table["hit_rate"] = hit_rate(said, actual)
    table["always_up_rate"] = _share_rising(actual[:, 0])
    table["volatility_ratio"] = finite(volatility_ratio(said, actual))
    return table


def crps(said: Predictive, actual: Floats) -> Floats:
    """Return the continuous ranked probability score of every log return, ``(n, horizon)``; NaN where not known."""
    return np.asarray(scoringrules.crps_t(actual, said.df, said.location, said.scale), dtype=np.float64)


def price_errors(said: Predictive, actual: Floats, last_value: Floats) -> Floats:
    """Return what the median was off by, in price units, ``(n, horizon)``."""
    return np.asarray(last_value[:, None] * (np.exp(said.location) - np.exp(actual)))


def coverage(said: Predictive, actual: Floats, level: float) -> float:
    """Return the share of first steps that ended inside the central ``level`` % interval."""
    lower, upper = _interval(said, level)
    first = actual[:, 0]
    return _mean(_where_known((lower <= first) & (first <= upper), first))


def interval_score(said: Predictive, actual: Floats, level: float) -> float:
    """Return the mean interval score (Gneiting and Raftery, 2007) of the central ``level`` % interval at step 1."""
    lower, upper = _interval(said, level)
    return _mean(np.asarray(scoringrules.interval_score(actual[:, 0], lower, upper, 1 - level / 100)))


def hit_rate(said: Predictive, actual: Floats) -> float | None:
    """Return the share of first steps whose direction the median named, of those where it named one and one came."""
    named = np.sign(said.location[:, 0]) * np.sign(actual[:, 0])
    named = named[np.isfinite(named) & (named != 0)]
    return float(np.mean(named > 0)) if len(named) else None


def _share_rising(moves: Floats) -> float | None:
    """Share of rises among the moves, of those that ``hit_rate`` counts."""
    moved = moves[np.isfinite(moves) & (moves != 0)]
    return float(np.mean(moved > 0)) if len(moved) else None


def volatility_ratio(said: Predictive, actual: Floats) -> float:
    """Return foretold over realised volatility of the first step, both as root mean square; 1 is right."""
    foretold = np.sqrt(np.mean(said.volatility[:, 0] ** 2))
    realised = np.sqrt(_mean(actual[:, 0] ** 2))
    return float(foretold / realised) if realised > 0 else float("nan")


def finite(value: float | np.floating) -> float | None:
    """Return the number, or ``None`` where JSON has none for it."""
    return float(value) if np.isfinite(value) else None


def _interval(said: Predictive, level: float) -> tuple[Floats, Floats]:
    tail = (1 - level / 100) / 2
    return said.quantile(tail)[:, 0], said.quantile(1 - tail)[:, 0]


def _where_known(truth: NDArray[np.bool_], actual: Floats) -> Floats:
    return np.where(np.isfinite(actual), truth.astype(np.float64), np.nan)


def _mean(values: Floats) -> float:
    """Mean of what is known, NaN when nothing is."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else float("nan")
