"""The network, fitted anew before each window, under one protocol with its rivals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.dataset.prepare import Dataset
from app.domain.distribution import Predictive
from app.domain.history import Bars
from app.domain.order import Evaluation, fewest_samples
from app.evaluation.backtest import Backtest
from app.evaluation.splits import split
from app.forecasting.pooled import Pool
from app.training.fit import FittedNetwork, fit_network
from app.training.learner import Learner
from app.training.play import play
from app.training.pooled import fit_pooled
from app.training.report import Report, part_of


def walk_forward(
    dataset: Dataset, bars: Bars, evaluation: Evaluation, learners: list[Learner], report: Report
) -> tuple[tuple[Backtest, ...], FittedNetwork]:
    """Forecast out of sample as ``evaluation`` says: the network, and all rivals that these ``bars`` allow.

    ``bars`` are those of the ticker that ``dataset`` was made of. Returns what all said of each target, and the
    network of the last fold. ``report`` hears of the stage ``backtest``.

    Raises:
        NotEnoughHistory: too few origins would train; bring ``need`` bars.
        FitDiverged: a fold's loss became NaN or infinite; lower the learning rate.
    """
    spec = dataset.spec
    cut = split(
        evaluation,
        dataset.sessions,
        first_origin=dataset.first_origin,
        horizon=spec.reach,
        samples=fewest_samples(spec),
    )
    said: list[tuple[Predictive, ...]] = []
    for part, fold in enumerate(cut.folds):
        told = part_of(report, "backtest", part=part, parts=len(cut.folds))
        network = fit_network(dataset, fold.train, learners, told)
        said.append(network.predict(dataset, np.arange(fold.test.start, fold.test.stop)))
    spread = network.seed_spread(dataset, np.arange(cut.folds[-1].test.start, cut.folds[-1].test.stop))
    cut = replace(cut, protocol={**cut.protocol, "seed_spread": spread})
    return play(cut, dataset, bars, said), network


def fit_windows(pool: Pool, learners: list[Learner], report: Report) -> list[FittedNetwork]:
    """Fit one network before each window of ``pool``, on the targets of all tickers that ended before its first day.

    ``report`` hears of the stage ``backtest``.

    Raises:
        NotEnoughHistory, FitDiverged: as ``fit_pooled``.
    """
    parts = len(pool.windows)
    return [
        fit_pooled(pool.datasets, learners, part_of(report, "backtest", part=part, parts=parts), before=window.first)
        for part, window in enumerate(pool.windows)
    ]
