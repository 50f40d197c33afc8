"""The network among its rivals, under one protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.dataset.features import build_features
from app.dataset.prepare import Dataset, Series
from app.domain.distribution import Predictive, concatenate
from app.domain.history import Bars
from app.domain.order import Evaluation, fewest_samples
from app.evaluation.backtest import MODEL, Backtest, backtest
from app.evaluation.rivals import Evidence, rivals
from app.evaluation.splits import Split, split
from app.training.fit import FittedNetwork, fit_network
from app.training.learner import Learner, Report, part_of

Floats = NDArray[np.float64]

FEWEST_RANGES = 0.9  # share of bars with open, high and low, without which there are no ranges to speak of


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
    models = [concatenate(list(parts)) for parts in zip(*said, strict=True)]
    spread = network.seed_spread(dataset, np.arange(cut.folds[-1].test.start, cut.folds[-1].test.stop))
    cut = replace(cut, protocol={**cut.protocol, "seed_spread": spread})
    played = [_play(cut, dataset, series, bars, model) for series, model in zip(dataset.series, models, strict=True)]
    return tuple(played), network


def _play(cut: Split, dataset: Dataset, series: Series, bars: Bars, model: Predictive) -> Backtest:
    """Let the rivals forecast one target, and set what all said beside what came."""
    places = np.searchsorted(bars.sessions, dataset.sessions)
    ranged = series.target.field == "close" and _has_ranges(bars)
    against = rivals(
        cut,
        Evidence(
            targets=series.targets,
            sigma=series.sigma,
            values=bars.column(series.target.field),
            places=places,
            ranges=build_features(bars, ("range",))[places] if ranged else None,
        ),
    )
    cut = Split(cut.folds, {**cut.protocol, "fallbacks": dict(against.fallbacks)})
    return backtest(
        cut,
        {MODEL: model, **against.said},
        field=series.target.field,
        next_sessions=dataset.next_sessions,
        values=series.values,
        targets=series.targets,
        range_variance=np.append(_range_variance(bars)[1:], np.nan)[places] if ranged else None,
    )


def _has_ranges(bars: Bars) -> bool:
    return float(np.mean(np.isfinite(bars.open + bars.high + bars.low))) >= FEWEST_RANGES


def _range_variance(bars: Bars) -> Floats:
    """Return the variance of each session by its range, ``(bars,)``; NaN while the ranges warm up."""
    to_month = build_features(bars, ("range",))[:, 0]
    log_month = 2 * build_features(bars, ("range_volatility",))[:, 1]
    return np.exp(to_month + log_month)
