"""The network among the baselines, under one protocol."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.dataset.prepare import Dataset
from app.domain.distribution import Predictive
from app.domain.order import Evaluation, fewest_samples
from app.evaluation.backtest import BASELINE, MODEL, Backtest, backtest
from app.evaluation.baselines import Contestant, drift, persistence
from app.evaluation.splits import Fold, split
from app.training.fit import FittedNetwork, fit_network
from app.training.learner import Learner, Report, part_of


def walk_forward(
    dataset: Dataset, evaluation: Evaluation, learners: list[Learner], report: Report
) -> tuple[tuple[Backtest, ...], FittedNetwork]:
    """Forecast out of sample as ``evaluation`` says: the network, persistence with EWMA-t, and drift.

    Returns what all said of each target, and the network of the last fold. ``report`` hears of the stage ``backtest``.

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
    said: dict[Fold, tuple[Predictive, ...]] = {}
    for part, fold in enumerate(cut.folds):
        told = part_of(report, "backtest", part=part, parts=len(cut.folds))
        network = fit_network(dataset, fold.train, learners, told)
        said[fold] = network.predict(dataset, np.arange(fold.test.start, fold.test.stop))
    played = []
    for index, series in enumerate(dataset.series):
        contestants: dict[str, Contestant] = {
            MODEL: _recall(said, index),
            BASELINE: persistence(series.targets, series.sigma),
            "drift": drift(series.targets, series.sigma),
        }
        played.append(
            backtest(
                cut,
                contestants,
                field=series.target.field,
                next_sessions=dataset.next_sessions,
                values=series.values,
                targets=series.targets,
            )
        )
    return tuple(played), network


def _recall(said: Mapping[Fold, tuple[Predictive, ...]], index: int) -> Contestant:
    """The network as a contestant: all targets are answered at once, so what it said is kept."""
    return lambda fold: said[fold][index]
