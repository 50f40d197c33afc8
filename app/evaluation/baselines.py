"""What a network has to beat: the last value, with and without drift, and an honest spread around it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.domain.distribution import Predictive
from app.domain.student_t import fit_spread
from app.evaluation.splits import Fold

Floats = NDArray[np.float64]
Contestant = Callable[[Fold], Predictive]


def persistence(targets: Floats, sigma: Floats) -> Contestant:
    """Forecast no change: a Student-t around the last value that is as wide as recent volatility (EWMA-t).

    ``targets`` ``(bars, horizon)`` are log returns from each bar on, ``sigma`` ``(bars,)`` the EWMA volatility known
    there. Width and degrees of freedom come from the training part of the fold, and of it from what had come to pass
    at the first origin that is tested.
    """
    return lambda fold: _around(np.zeros(targets.shape[1]), targets, sigma, fold)


def drift(targets: Floats, sigma: Floats) -> Contestant:
    """Forecast that the mean log return of the training part goes on; spread as ``persistence``."""

    def forecast(fold: Fold) -> Predictive:
        mean = np.mean(targets[_rows(fold.train), 0])
        return _around(mean * np.arange(1, targets.shape[1] + 1), targets, sigma, fold)

    return forecast


def _around(location: Floats, targets: Floats, sigma: Floats, fold: Fold) -> Predictive:
    """Lay the spread of the training part around ``location`` ``(horizon,)`` at every test origin."""
    train, test = _rows(fold.train), _rows(fold.test)
    steps = np.arange(1, targets.shape[1] + 1)
    past = np.arange(train.start, train.stop)[:, None] + steps <= fold.test.start
    scale, df = fit_spread(np.where(past, targets[train], np.nan), sigma[train])
    unit = sigma[test, None] * np.sqrt(steps)
    return Predictive(np.tile(location, (len(unit), 1)), scale * unit, np.tile(df, (len(unit), 1)))


def _rows(origins: range) -> slice:
    return slice(origins.start, origins.stop)
