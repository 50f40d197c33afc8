"""What a network said out of sample beside all rivals that the bars allow, and what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.dataset.features import build_features
from app.dataset.indicators import daily_variance
from app.dataset.prepare import Dataset, Series
from app.dataset.windows import Origins
from app.domain.distribution import Predictive, concatenate
from app.domain.dividends import reinvested
from app.domain.history import Bars
from app.evaluation.backtest import MODEL, Backtest, backtest
from app.evaluation.rivals import Evidence, rivals
from app.evaluation.splits import Split
from app.forecasting.pooled import Member

Floats = NDArray[np.float64]
#: What a network says from the origins of a dataset, one distribution a target.
Speak = Callable[[Dataset, Origins], tuple[Predictive, ...]]

FEWEST_RANGES = 0.9  # share of bars with open, high and low, without which there are no ranges to speak of


def play(cut: Split, dataset: Dataset, bars: Bars, said: Sequence[tuple[Predictive, ...]]) -> tuple[Backtest, ...]:
    """Set beside each other what the network ``said`` in each fold of ``cut``, its rivals, and what came.

    ``bars`` are those of the ticker that ``dataset`` was made of; one backtest a target.
    """
    models = [concatenate(list(parts)) for parts in zip(*said, strict=True)]
    total = reinvested(bars)
    return tuple(
        _play(cut, dataset, series, bars, total, model) for series, model in zip(dataset.series, models, strict=True)
    )


def play_member(member: Member, networks: Sequence[Speak]) -> tuple[Backtest, ...]:
    """Let each window of a ticker be forecast by the one of ``networks`` that was fitted before it."""
    said = [
        networks[window](member.dataset, np.arange(fold.test.start, fold.test.stop))
        for window, fold in member.folds.items()
    ]
    return play(member.split, member.dataset, member.history.bars, said)


def _play(cut: Split, dataset: Dataset, series: Series, bars: Bars, total: Bars, model: Predictive) -> Backtest:
    """Let the rivals forecast one target, and set what all said beside what came."""
    places = np.searchsorted(bars.sessions, dataset.sessions)
    ranged = series.target.field == "close" and _has_ranges(bars)
    against = rivals(
        cut,
        Evidence(
            targets=series.targets,
            sigma=series.sigma,
            values=total.column(series.target.field),
            places=places,
            ranges=build_features(bars, ("range",), total=total)[places] if ranged else None,
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
        range_variance=np.append(daily_variance(total)[1:], np.nan)[places] if ranged else None,
    )


def _has_ranges(bars: Bars) -> bool:
    return float(np.mean(np.isfinite(bars.open + bars.high + bars.low))) >= FEWEST_RANGES
