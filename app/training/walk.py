"""The network, fitted anew before each window, under one protocol with its rivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.dataset.prepare import Dataset
from app.domain.history import Bars
from app.domain.order import Evaluation, fewest_samples
from app.evaluation.backtest import Backtest
from app.evaluation.splits import Split, split
from app.forecasting.pooled import Pool
from app.training.fit import Fit, fit_networks
from app.training.fitted import FittedNetwork
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
    cut = cut_folds(dataset, evaluation)
    networks = fit_networks(fits_of(cut, dataset), learners, part_of(report, "backtest", part=0, parts=1))
    return play_folds(cut, dataset, bars, networks), networks[-1]


def cut_folds(dataset: Dataset, evaluation: Evaluation) -> Split:
    """Cut what ``evaluation`` asks for out of ``dataset``.

    Raises:
        NotEnoughHistory: too few origins would train; bring ``need`` bars.
    """
    spec = dataset.spec
    return split(
        evaluation,
        dataset.sessions,
        first_origin=dataset.first_origin,
        horizon=spec.reach,
        samples=fewest_samples(spec),
    )


def fits_of(cut: Split, dataset: Dataset) -> list[Fit]:
    """Return the fit of each fold: on what was known before its window, and nothing else."""
    return [Fit(dataset, fold.train) for fold in cut.folds]


def play_folds(cut: Split, dataset: Dataset, bars: Bars, networks: Sequence[FittedNetwork]) -> tuple[Backtest, ...]:
    """Let each fold's network forecast its window, beside its rivals; one backtest a target."""
    tested = [np.arange(fold.test.start, fold.test.stop) for fold in cut.folds]
    said = [network.predict(dataset, origins) for network, origins in zip(networks, tested, strict=True)]
    spread = networks[-1].seed_spread(dataset, tested[-1])
    return play(replace(cut, protocol={**cut.protocol, "seed_spread": spread}), dataset, bars, said)


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
