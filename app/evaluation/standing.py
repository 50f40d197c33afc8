"""Where every contestant stands: its own scores, and how they compare to those of repeating the last value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.evaluation.backtest import PERSISTENCE, Backtest, steps_of
from app.evaluation.metrics import (
    PIT_BINS,
    finite,
    price_errors,
    probability_integral_transform,
    qlike,
    scores,
)
from app.evaluation.tests import skill_intervals

Floats = NDArray[np.float64]
Metrics = dict[str, float | None]


def standing(result: Backtest) -> dict[str, Metrics]:
    """Return the metrics of every contestant: those of ``scores``, and of the first step these.

    ``rmse_ratio`` and ``mae_ratio`` to persistence, below 1 is better; ``skill`` is 1 - ``rmse_ratio`` and
    ``skill_lower`` to ``skill_upper`` its 95 % interval. ``mase`` is the mean absolute error in units of the usual
    change of the training part (Hyndman and Koehler, 2006). ``qlike_range`` is the loss of the foretold variance
    against that of the session's range, on the level of its squared return; ``None`` where there are no ranges.
    """
    table = {name: scores(said, result.actual, result.last_value) for name, said in result.contestants.items()}
    errors = {name: first_errors(result, name) for name in table}
    intervals = skill_intervals(np.stack(list(errors.values()), axis=1), errors[PERSISTENCE])
    usual = result.usual_change[np.isfinite(result.actual[:, 0])]
    for (name, row), interval in zip(table.items(), intervals, strict=True):
        row |= _beside(row, table[PERSISTENCE])
        row["skill_lower"], row["skill_upper"] = interval or (None, None)
        row["mase"] = finite(np.mean(np.abs(errors[name]) / usual)) if len(usual) and (usual > 0).all() else None
        row["qlike_range"] = _qlike_range(result, name)
    return table


def first_errors(result: Backtest, name: str) -> Floats:
    """Return what the contestant's first step was off by, in price units, where it is known what came, ``(m,)``."""
    said = steps_of(result.contestants[name], [0])
    errors = price_errors(said, result.actual[:, :1], result.last_value)[:, 0]
    return errors[np.isfinite(result.actual[:, 0])]


def histograms(result: Backtest) -> dict[str, list[float]]:
    """Return, chart-ready, which share of sessions each contestant had in each tenth of its distribution.

    ``lower`` is where each tenth begins; a tenth of the sessions in each is right (Dawid, 1984).
    """
    lower = [place / PIT_BINS for place in range(PIT_BINS)]
    first = {name: steps_of(said, [0]) for name, said in result.contestants.items()}
    shares = {name: probability_integral_transform(said, result.actual) for name, said in first.items()}
    return {"lower": lower, **shares}


def _beside(row: Mapping[str, float | None], persistence: Mapping[str, float | None]) -> Metrics:
    ratios: Metrics = {}
    for metric in ("rmse", "mae"):
        ours, theirs = row[metric], persistence[metric]
        ratios[f"{metric}_ratio"] = ours / theirs if ours is not None and theirs else None
    ratio = ratios["rmse_ratio"]
    return {**ratios, "skill": None if ratio is None else 1 - ratio}


def _qlike_range(result: Backtest, name: str) -> float | None:
    if result.range_variance is None:
        return None
    squares, ranges = result.actual[:, 0] ** 2, result.range_variance
    known = np.isfinite(squares) & np.isfinite(ranges)
    if not known.any() or not squares[known].any():
        return None
    level = np.mean(squares[known]) / np.mean(ranges[known])
    losses = qlike(steps_of(result.contestants[name], [0]), level * ranges)
    return finite(np.mean(losses[known]))
