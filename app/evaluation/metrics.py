"""Scores of distributions against what came; unless it says otherwise, of the first step."""

from __future__ import annotations

import numpy as np
import scoringrules
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import chi2

from app.domain.distribution import PROBABILITIES, Predictive, Quantiles
from app.evaluation.backtest import steps_of

Floats = NDArray[np.float64]

LEVELS = (80, 90, 95)
PIT_BINS = 10
STEPS_SHOWN = 30
LOWEST_VARIANCE = 1e-8  # a session in which nothing moved still has a logarithm
DENSE: Floats = (np.arange(200) + 0.5) / 200  # probabilities


def scores(said: Predictive, actual: Floats, last_value: Floats) -> dict[str, float | None]:
    """Return every metric of the first step, and ``rmse``, ``mae`` and ``crps`` of further ones.

    These are the first thirty and the last. ``rmse_path`` is over all steps of the first origin's forecast, ``None``
    when not all of them came.

    ``actual`` ``(n, horizon)`` are log returns from ``last_value`` ``(n,)``. ``rmse`` and ``mae`` are in price units
    around the median; ``crps``, ``pinball`` (over eleven quantiles) and interval scores in log-return units: lower is
    better, as of ``qlike_squared``, which is against the squared return. ``hit_rate`` is the share of rightly foretold
    directions, to be read against ``always_up_rate``: what naming "up" each time would have had; ``None`` for who
    names no direction. ``hits_1`` and ``hits_99`` are the shares beyond the outermost quantiles, 1 % each if true,
    ``kupiec_p_90`` is small when the share inside the 90 % interval is not that. ``persistence_likeness`` is 1 for who
    repeats the last value.
    """
    table = _by_step(said, actual, last_value)
    first, came = steps_of(said, [0]), actual[:, :1]
    for level in LEVELS:
        table[f"coverage_{level}"] = finite(coverage(first, came, level))
        table[f"interval_score_{level}"] = finite(interval_score(first, came, level))
    table["kupiec_p_90"] = finite(kupiec_p(_inside(first, came, 90)[np.isfinite(came[:, 0])], 90))
    table["hits_1"] = finite(_mean(_where_known(came < first.quantile(0.01), came)))
    table["hits_99"] = finite(_mean(_where_known(came > first.quantile(0.99), came)))
    table["pinball"] = finite(_mean(pinball(first, came)))
    table["qlike_squared"] = finite(_mean(qlike(first, came[:, 0] ** 2)))
    table["hit_rate"] = hit_rate(first, came)
    table["always_up_rate"] = _share_rising(came[:, 0])
    table["volatility_ratio"] = finite(volatility_ratio(first, came))
    table["persistence_likeness"] = finite(persistence_likeness(first, came, last_value))
    return table


def _by_step(said: Predictive, actual: Floats, last_value: Floats) -> dict[str, float | None]:
    table: dict[str, float | None] = {}
    horizon = actual.shape[1]
    steps = sorted({*range(min(horizon, STEPS_SHOWN)), horizon - 1})
    errors = price_errors(said, actual, last_value)
    losses = crps(steps_of(said, steps), actual[:, steps])
    for column, step in enumerate(steps):
        suffix = "" if step == 0 else f"_step_{step + 1}"
        table[f"rmse{suffix}"] = finite(np.sqrt(_mean(errors[:, step] ** 2)))
        table[f"mae{suffix}"] = finite(_mean(np.abs(errors[:, step])))
        table[f"crps{suffix}"] = finite(_mean(losses[:, column]))
    if horizon > 1:
        table["rmse_path"] = finite(np.sqrt(np.mean(errors[0] ** 2)))
    return table


def crps(said: Predictive, actual: Floats) -> Floats:
    """Return the continuous ranked probability score of every log return, ``(n, horizon)``; NaN where not known.

    Of quantiles it is twice the mean pinball loss of 200 of them, evenly apart in probability: for a Student-t within
    0.01 % of the closed form, so that both kinds can be compared.
    """
    if isinstance(said, Quantiles):
        many = np.stack([said.quantile(p) for p in DENSE], axis=-1)
        return np.asarray(scoringrules.crps_quantile(actual, many, DENSE), dtype=np.float64)
    return np.asarray(scoringrules.crps_t(actual, said.df, said.location, said.scale), dtype=np.float64)


def pinball(said: Predictive, actual: Floats) -> Floats:
    """Return the mean pinball loss of eleven quantiles, 1 % to 99 %, of every log return; NaN where not known."""
    losses = [scoringrules.quantile_score(actual, said.quantile(p), p) for p in PROBABILITIES]
    return np.asarray(np.mean(losses, axis=0), dtype=np.float64)


def qlike(said: Predictive, variance: Floats) -> Floats:
    """Return the loss of the foretold variance against ``variance`` ``(n,)``, what came in its place; 0 is right.

    ``v / f - log(v / f) - 1``: the forecast that is best by it stays so when the proxy is noisy but right on average
    (Patton, Journal of Econometrics 160, 2011).
    """
    ratio = np.maximum(variance, LOWEST_VARIANCE) / np.maximum(said.volatility[:, 0] ** 2, LOWEST_VARIANCE)
    return np.asarray(ratio - np.log(ratio) - 1)


def price_errors(said: Predictive, actual: Floats, last_value: Floats) -> Floats:
    """Return what the median was off by, in price units, ``(n, horizon)``."""
    return np.asarray(last_value[:, None] * (np.exp(said.location) - np.exp(actual)))


def coverage(said: Predictive, actual: Floats, level: float) -> float:
    """Return the share of first steps that ended inside the central ``level`` % interval."""
    return _mean(_where_known(_inside(said, actual, level), actual[:, 0]))


def kupiec_p(inside: NDArray[np.bool_], level: float) -> float:
    """Return the p-value of a ``level`` % interval holding as often as it should, of what was ``inside`` ``(n,)``.

    The likelihood ratio test of unconditional coverage (Kupiec, Journal of Derivatives 3, 1995); NaN of nothing.
    """
    if not len(inside):
        return float("nan")
    missed, held, expected = int(np.sum(~inside)), int(np.sum(inside)), 1 - level / 100

    def log_likelihood(share: float) -> float:
        return float(xlogy(missed, share) + xlogy(held, 1 - share))

    return float(chi2.sf(2 * max(log_likelihood(missed / len(inside)) - log_likelihood(expected), 0.0), df=1))


def probability_integral_transform(said: Predictive, actual: Floats) -> list[float]:
    """Return the share of first steps in each tenth of their distribution, lowest first: 0.1 each if it is true.

    Empty when nothing is known of what came.
    """
    first = actual[:, 0]
    known = np.isfinite(first)
    edges = np.stack([said.quantile(place / PIT_BINS)[:, 0] for place in range(1, PIT_BINS)])
    tenth = np.sum(first > edges, axis=0)[known]
    return (np.bincount(tenth, minlength=PIT_BINS) / len(tenth)).tolist() if len(tenth) else []


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


def persistence_likeness(said: Predictive, actual: Floats, last_value: Floats) -> float:
    """Return 1 - RMSE of the medians to the last value / RMSE to what came, of the first step.

    1 repeats the last value; above 0 the medians are nearer to it than to what came: a network that follows prices a
    day late.
    """
    errors = price_errors(said, actual, last_value)[:, 0]
    moves = last_value * np.expm1(said.location[:, 0])
    known = np.isfinite(errors)
    off = np.sqrt(_mean(errors**2))
    return float(1 - np.sqrt(_mean(moves[known] ** 2)) / off) if off > 0 else float("nan")


def finite(value: float | np.floating) -> float | None:
    """Return the number, or ``None`` where JSON has none for it."""
    return float(value) if np.isfinite(value) else None


def _inside(said: Predictive, actual: Floats, level: float) -> NDArray[np.bool_]:
    lower, upper = _interval(said, level)
    return np.asarray((lower <= actual[:, 0]) & (actual[:, 0] <= upper))


def _interval(said: Predictive, level: float) -> tuple[Floats, Floats]:
    tail = (1 - level / 100) / 2
    return said.quantile(tail)[:, 0], said.quantile(1 - tail)[:, 0]


def _where_known(truth: NDArray[np.bool_], actual: Floats) -> Floats:
    return np.where(np.isfinite(actual), truth.astype(np.float64), np.nan)


def _mean(values: Floats) -> float:
    """Mean of what is known, NaN when nothing is."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else float("nan")
