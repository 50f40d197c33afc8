"""One network for many tickers: fitted on all of them, split by dates that are the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from app.dataset.prepare import Dataset
from app.dataset.scaling import Scaling, fit_scaler
from app.dataset.windows import Origins
from app.domain.history import to_date
from app.errors import NotEnoughHistory
from app.training.fit import fit_learners, samples_of
from app.training.fitted import FittedNetwork
from app.training.learner import Learner
from app.training.report import Report
from app.training.samples import Samples


@dataclass(frozen=True, eq=False, kw_only=True)
class DateSplit:
    """Origins to ``learn`` from and newer ones to ``validate`` on, one entry a ticker; all ended by ``last``."""

    learn: tuple[Origins, ...]
    validate: tuple[Origins, ...]
    last: date


def fit_pooled(
    datasets: Sequence[Dataset], learners: list[Learner], report: Report, *, before: date | None = None
) -> FittedNetwork:
    """Fit one network on the origins of all ``datasets`` whose targets ended ``before`` a day; ``None``: on all.

    All are of one spec. Scalers and anchor see what is learnt from, over all tickers. ``learnt`` of the answer are the
    origins of the first of ``datasets``.

    Raises:
        NotEnoughHistory: nothing is left to learn from; bring older bars or more tickers.
        FitDiverged: the loss became NaN or infinite; lower the learning rate.
    """
    spec, split = datasets[0].spec, split_by_dates(datasets, before=before)
    rows = [
        one.features[at[0] - spec.window + 1 : at[-1] + 1]
        for one, at in zip(datasets, split.learn, strict=True)
        if len(at)
    ]
    scaling = Scaling(features=fit_scaler(spec.scaler, np.concatenate(rows)))
    learn, validate = (_together(datasets, origins, scaling) for origins in (split.learn, split.validate))
    model, curves = fit_learners(learners, learn, validate if len(validate) else None, report, spec=spec)
    return FittedNetwork(
        spec=spec, network=model, scaling=scaling, curves=curves, learnt=split.learn[0], known_through=split.last
    )


def split_by_dates(datasets: Sequence[Dataset], *, before: date | None = None) -> DateSplit:
    """Split by dates that are the same for all tickers: the newest ``validation_fraction`` of them is to validate on.

    What one ticker is learnt from never lies beside what another is validated on, since tickers of one day move
    together. A target that is learnt from ends before the first date of the validation part.

    Raises:
        NotEnoughHistory: nothing is left to learn from; bring older bars or more tickers.
    """
    ends = [_target_ends(one) for one in datasets]
    dates = np.unique(np.concatenate([end[~np.isnat(end)] for end in ends]))
    if before is not None:
        dates = dates[dates < np.datetime64(before)]
    kept = int(len(dates) * datasets[0].spec.validation_fraction)
    if len(dates) == kept:
        raise NotEnoughHistory("No target is known to learn from.", have=len(dates), need=kept + 1)
    last = dates[-1]
    border = dates[len(dates) - kept] if kept else last + 1
    learn = tuple(_origins(one, end < border) for one, end in zip(datasets, ends, strict=True))
    if not any(map(len, learn)):
        raise NotEnoughHistory("No ticker has a whole window to learn from.", have=0, need=1)
    validate = tuple(
        _origins(one, (one.sessions >= border) & (end <= last)) for one, end in zip(datasets, ends, strict=True)
    )
    return DateSplit(learn=learn, validate=validate, last=to_date(last))


def _target_ends(dataset: Dataset) -> NDArray[np.datetime64]:
    """Return the session at which all targets of each origin are known, NaT where they are not, ``(rows,)``."""
    reach = dataset.spec.reach
    ends = np.full(len(dataset), np.datetime64("NaT", "D"))
    ends[:-reach] = dataset.sessions[reach:]
    return ends


def _origins(dataset: Dataset, chosen: NDArray[np.bool_]) -> Origins:
    """Return the chosen rows that have a whole window behind them."""
    rows = np.flatnonzero(chosen)
    return rows[rows >= dataset.first_origin]


def _together(datasets: Sequence[Dataset], origins: Sequence[Origins], scaling: Scaling) -> Samples:
    """Return the samples at the ``origins`` of each dataset, one ticker after the other."""
    parts = [samples_of(one, at, scaling) for one, at in zip(datasets, origins, strict=True) if len(at)]
    if not parts:
        return Samples(np.empty((0, 1, 1), np.float32), np.empty((0, 1, 1), np.float32))
    return Samples(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "targets")))
