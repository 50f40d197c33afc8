"""Bars become a dataset: what can be known at each bar, and what came after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.dataset.features import build_features, column_names, look_back
from app.dataset.targets import future_log_returns
from app.dataset.volatility import ewma_volatility, log_returns
from app.domain.history import Bars, Sessions, to_date
from app.domain.order import TrainingOrder, fewest_sessions
from app.domain.spec import NetworkSpec
from app.errors import InvalidBars, NotEnoughHistory

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """One row a bar, oldest first. An origin is the index of the last bar that a forecast knows.

    ``features`` ``(bars, columns)`` and ``sigma`` ``(bars,)``, the volatility of the next session's log return, are
    known at their bar. ``values`` ``(bars,)`` is the target field, ``targets`` ``(bars, horizon)`` its log returns
    from each bar on, NaN where the future is not known. ``first_origin`` is the first with a whole window behind it.
    """

    spec: NetworkSpec
    sessions: Sessions
    values: Floats
    sigma: Floats
    features: Floats
    targets: Floats
    first_origin: int

    def __len__(self) -> int:
        return len(self.sessions)


def prepare(bars: Bars, spec: NetworkSpec) -> Dataset:
    """Return the dataset that networks of ``spec`` read, for training and serving alike.

    Raises:
        NotEnoughHistory: not even one window fits; bring ``need`` bars.
        InvalidBars: a field that the order uses has gaps or values that are not positive; audit the bars first.
        InvalidSpec: a feature or the target names nothing that bars have.
    """
    need = needed_bars(spec)
    if len(bars) < need:
        detail = f"{len(bars)} bars, at least {need} needed: a window of {spec.window} behind {need - spec.window}."
        raise NotEnoughHistory(detail, have=len(bars), need=need)
    values = bars.column(spec.target.field)
    _refuse_unless(np.isfinite(values) & (values > 0), bars, f"{spec.target.field} is missing or not positive")
    features = build_features(bars, spec.features)
    warm = look_back(spec.features)
    for column, name in enumerate(column_names(spec.features)):
        _refuse_unless(np.isfinite(features[warm:, column]), bars.rows(slice(warm, None)), f"{name} is not a number")
    return Dataset(
        spec=spec,
        sessions=bars.sessions,
        values=values,
        sigma=ewma_volatility(log_returns(values)),
        features=features,
        targets=future_log_returns(values, spec.horizon),
        first_origin=need - 1,
    )


def needed_bars(spec: NetworkSpec) -> int:
    """Return how many bars one forecast of ``spec`` needs: what its features look back on, and a window."""
    return look_back(spec.features) + spec.window


def needed_sessions(order: TrainingOrder) -> int:
    """Return how many sessions ``order`` needs to be trained and tested at all; a champion needs 750."""
    first_origin = needed_bars(order.spec) - 1
    return fewest_sessions(order.evaluation, first_origin=first_origin, horizon=order.spec.horizon)


def _refuse_unless(good: NDArray[np.bool_], bars: Bars, fault: str) -> None:
    if good.all():
        return
    first = to_date(bars.sessions[int(np.argmin(good))])
    count = int(len(good) - good.sum())
    raise InvalidBars(f"{fault} in {count} bars, first {first}.", count=count, first=first.isoformat())
