"""The network among the baselines, under one protocol."""

from __future__ import annotations

import numpy as np

from app.dataset.prepare import Dataset
from app.domain.distribution import Predictive
from app.domain.order import Evaluation
from app.evaluation.backtest import BASELINE, MODEL, Backtest, backtest
from app.evaluation.baselines import Contestant, drift, persistence
from app.evaluation.splits import Fold, split
from app.training.fit import FittedNetwork, fit_network
from app.training.learner import Learner, Report, part_of


def walk_forward(
    dataset: Dataset, evaluation: Evaluation, learners: list[Learner], report: Report
) -> tuple[Backtest, FittedNetwork]:
    """Forecast out of sample as ``evaluation`` says: the network, persistence with EWMA-t, and drift.

    Returns what all said, and the network of the last fold. ``report`` hears of the stage ``backtest``.

    Raises:
        NotEnoughHistory: too few origins would train; bring ``need`` bars.
        FitDiverged: a fold's loss became NaN or infinite; lower the learning rate.
    """
    cut = split(evaluation, dataset.sessions, first_origin=dataset.first_origin, horizon=dataset.spec.horizon)
    network = _NetworkContestant(dataset, learners, report, fits=len(cut.folds))
    contestants: dict[str, Contestant] = {
        MODEL: network,
        BASELINE: persistence(dataset.targets, dataset.sigma),
        "drift": drift(dataset.targets, dataset.sigma),
    }
    played = backtest(cut, contestants, sessions=dataset.sessions, values=dataset.values, targets=dataset.targets)
    return played, network.fits[-1]


class _NetworkContestant:
    """The contestant that fits the network of ``dataset.spec`` anew in every fold."""

    def __init__(self, dataset: Dataset, learners: list[Learner], report: Report, *, fits: int) -> None:
        self._dataset, self._learners, self._report, self._parts = dataset, learners, report, fits
        self.fits: list[FittedNetwork] = []

    def __call__(self, fold: Fold) -> Predictive:
        told = part_of(self._report, "backtest", part=len(self.fits), parts=self._parts)
        self.fits.append(fit_network(self._dataset, fold.train, self._learners, told))
        return self.fits[-1].predict(self._dataset, np.arange(fold.test.start, fold.test.stop))
