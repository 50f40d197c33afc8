"""What a network is measured against: simple and classical forecasts of one target, under the network's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from app.domain.distribution import Predictive, StudentT, concatenate
from app.domain.scale_line import fit_scale_line
from app.domain.student_t import fit_spread
from app.evaluation.backtest import origins_of
from app.evaluation.classical import LOWEST, garch_t
from app.evaluation.splits import Fold, Split

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

MONTH = 22  # sessions of the moving average
EACH_STEP = 30  # up to here each step's spread is fitted,
FAR_STEPS = 10  # and so many beyond
GARCH: Mapping[str, bool] = {"garch_t": False, "gjr_t": True}  # and whether falls weigh more


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """What the rivals may read of one target.

    One row an origin, oldest first: ``targets`` ``(rows, horizon)`` are log returns from there on, NaN where the
    future is not known, ``sigma`` ``(rows,)`` is the EWMA volatility known there. ``values`` ``(sessions,)`` is the
    field at each of the ticker's own sessions, dividends reinvested, and ``places`` ``(rows,)`` says which of these
    each row is: peers leave some out. ``ranges`` ``(rows, columns)`` is what the daily ranges say, NaN while they warm
    up; ``None`` where there are none.
    """

    targets: Floats
    sigma: Floats
    values: Floats
    places: Rows
    ranges: Floats | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Rivals:
    """What each rival ``said`` at the tested origins, and how many of its fits failed and were replaced."""

    said: Mapping[str, Predictive]
    fallbacks: Mapping[str, int]


def rivals(cut: Split, evidence: Evidence) -> Rivals:
    """Let every rival forecast the test origins of every fold, each fitted on what the fold may learn from.

    ``persistence``: the last value, as wide as the training part was on average. ``ewma_t``: the last value, as wide
    as lately. ``drift``: the mean log return of the training part goes on, as wide as lately. ``moving_average``: the
    mean of the last 22 values, as wide as lately. ``garch_t`` and ``gjr_t``: as ``app.evaluation.classical`` says.
    ``har_range_t``: the log of the width is linear in what the daily ranges say.
    """
    parts = [_simple(fold, evidence) for fold in cut.folds]
    said = {name: concatenate([part[name] for part in parts]) for name in parts[0]}
    fallbacks = {}
    for name, asymmetric in GARCH.items():
        said[name], fallbacks[name] = _garch(cut, evidence, asymmetric)
    if evidence.ranges is not None and np.isfinite(evidence.ranges[cut.tested]).all():
        said["har_range_t"] = concatenate([_har_range_t(fold, evidence, evidence.ranges) for fold in cut.folds])
    return Rivals(said=said, fallbacks=fallbacks)


def ewma_t(targets: Floats, sigma: Floats, fold: Fold) -> Predictive:
    """Forecast no change from every test origin of ``fold``: a Student-t around the last value, as wide as lately.

    ``targets`` ``(rows, horizon)`` are log returns from each row on, ``sigma`` ``(rows,)`` the EWMA volatility known
    there. Width and degrees of freedom come from the training part, and of it from what had come to pass at the first
    origin that is tested.
    """
    return _around(np.zeros(targets.shape[1]), _width(targets, sigma, fold))


def _simple(fold: Fold, evidence: Evidence) -> dict[str, Predictive]:
    """Repeat the last value, the drift and the mean of the month; each spread is fitted once."""
    targets, sigma, test = evidence.targets, evidence.sigma, _rows(fold.test)
    horizon = targets.shape[1]
    first = targets[_rows(fold.train), 0]
    usual = np.full(len(targets), max(float(np.sqrt(np.mean(first**2))), LOWEST))
    lately = _width(targets, sigma, fold)
    return {
        "persistence": _around(np.zeros(horizon), _width(targets, usual, fold)),
        "ewma_t": _around(np.zeros(horizon), lately),
        "drift": _around(np.mean(first) * np.arange(1, horizon + 1), lately),
        "moving_average": _around(_to_average(evidence)[test, None], lately),
    }


def _to_average(evidence: Evidence) -> Floats:
    """Return the log return from each row's value to the mean of its last 22, its own included, ``(rows,)``."""
    values = evidence.values
    padded = np.concatenate([np.full(MONTH - 1, np.nan), values])
    means = np.nanmean(sliding_window_view(padded, MONTH), axis=1)
    return np.asarray(np.log(means / values)[evidence.places])


def _garch(cut: Split, evidence: Evidence, asymmetric: bool) -> tuple[Predictive, int]:
    """Fit to the ticker's own sessions up to the first origin of each fold; also return how many fits failed."""
    at = evidence.places[cut.tested]
    found = garch_t(
        np.diff(np.log(evidence.values)),
        [int(evidence.places[fold.test.start]) for fold in cut.folds],
        stop=int(at[-1]) + 1,
        asymmetric=asymmetric,
        horizon=evidence.targets.shape[1],
    )
    return origins_of(found.said, at - at[0]), sum(fit.origin != "fitted" for fit in found.fits)


def _har_range_t(fold: Fold, evidence: Evidence, ranges: Floats) -> Predictive:
    """Fit the line to the first step; what lies further is as wide in its units as it was in the training part."""
    targets, sigma = evidence.targets, evidence.sigma
    train = _rows(fold.train)
    line = fit_scale_line(ranges[train], targets[train, 0] / sigma[train])
    unit = np.exp(line.log_scale(ranges)) * sigma
    steps = np.arange(1, targets.shape[1] + 1)
    return _around(line.drift * unit[_rows(fold.test), None] * steps, _width(targets, unit, fold))


def _width(targets: Floats, unit: Floats, fold: Fold) -> tuple[Floats, Floats]:
    """Fit the spread in units of ``unit``: return scale ``(tests, horizon)`` and degrees of freedom ``(horizon,)``.

    Of the training part counts what had come to pass at the first origin that is tested. Of a long horizon some steps
    are fitted and those between are interpolated.
    """
    train, test = _rows(fold.train), _rows(fold.test)
    horizon = targets.shape[1]
    far = np.geomspace(EACH_STEP, horizon, FAR_STEPS).round() if horizon > EACH_STEP else np.empty(0)
    fitted = np.unique([*range(1, min(horizon, EACH_STEP) + 1), *far]).astype(np.intp)
    past = np.arange(train.start, train.stop)[:, None] + fitted <= fold.test.start
    one_step = np.where(past, targets[train][:, fitted - 1], np.nan) / np.sqrt(fitted)
    scale, df = fit_spread(one_step * np.sqrt(np.arange(1, len(fitted) + 1)), unit[train])
    steps = np.arange(1, horizon + 1)
    of_step = np.interp(steps, fitted, scale) * np.sqrt(steps)
    return of_step * unit[test, None], np.interp(steps, fitted, df)


def _around(location: Floats, width: tuple[Floats, Floats]) -> Predictive:
    """Lay the spread around ``location``, which is broadcast to ``(tests, horizon)``."""
    scale, df = width
    return StudentT(*(np.array(np.broadcast_to(part, scale.shape)) for part in (location, scale, df)))


def _rows(origins: range) -> slice:
    return slice(origins.start, origins.stop)
