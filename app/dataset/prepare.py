"""Bars become a dataset: what can be known at each bar, and what came after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from app.dataset.features import build_features, column_names, look_back
from app.dataset.targets import future_log_returns
from app.dataset.volatility import ewma_volatility, log_returns
from app.domain.dividends import reinvested
from app.domain.history import Bars, Sessions, to_date
from app.domain.order import TrainingOrder, fewest_samples, fewest_sessions
from app.domain.spec import NetworkSpec, Target
from app.errors import InvalidBars, NeedsPeers, NotEnoughHistory

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Peers = Mapping[str, Bars]

NO_PEERS: Peers = MappingProxyType({})


@dataclass(frozen=True, eq=False, kw_only=True)
class Series:
    """What is to be foretold of one target, one row a session.

    ``values`` ``(rows,)`` is its field as quoted, ``sigma`` ``(rows,)`` the volatility of its next log return as known
    there, ``targets`` ``(rows, horizon)`` its log returns from there on, NaN where the future is not known. Of traded
    prices these are total returns: what came is a price on the basis of ``values``, dividends added back.
    """

    target: Target
    values: Floats
    sigma: Floats
    targets: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """One row a session, oldest first. An origin is the row that a forecast knows last.

    Without peers every bar is a row; with peers the sessions that all of them share. ``next_sessions`` ``(rows,)``
    are those of the first step, NaT where it is not known: the ticker's own next one, shared or not. ``features``
    ``(rows, columns)`` are known at their row: the ticker's columns, then those of each peer. ``series`` has one entry
    a target. ``first_origin`` is the first row with a whole window behind it.
    """

    spec: NetworkSpec
    sessions: Sessions
    next_sessions: Sessions
    features: Floats
    series: tuple[Series, ...]
    first_origin: int

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def values(self) -> Floats:
        """The field of the first target, ``(rows,)``."""
        return self.series[0].values

    @property
    def sigma(self) -> Floats:
        """The volatility of the first target, ``(rows,)``."""
        return self.series[0].sigma

    @property
    def targets(self) -> Floats:
        """The log returns of the first target, ``(rows, horizon)``."""
        return self.series[0].targets


def prepare(bars: Bars, spec: NetworkSpec, peers: Peers = NO_PEERS) -> Dataset:
    """Return the dataset that networks of ``spec`` read, for training and serving alike.

    ``peers`` holds the bars of each of the spec's peers. A row never knows a bar of a later session, of nobody.

    Raises:
        NotEnoughHistory: not even one window fits, or the peers share too few sessions; bring ``need`` bars.
        InvalidBars: a field that the order uses has gaps or values that are not positive; audit the bars first.
        InvalidSpec: a feature or a target names nothing that the bars have.
        NeedsPeers: a peer's bars are missing.
    """
    if missing := [peer for peer in spec.peers if peer not in peers]:
        detail = f"The network reads bars of {', '.join(spec.peers)} too."
        raise NeedsPeers(detail, pointer="/bars", peers=list(spec.peers), missing=missing)
    read = [(bars, spec.features), *((peers[peer], spec.read_of_peers) for peer in spec.peers)]
    shared = reduce(np.intersect1d, (one.sessions for one, _ in read))
    places = [np.searchsorted(one.sessions, shared) for one, _ in read]
    warm = max(int(np.searchsorted(at, look_back(names))) for (_, names), at in zip(read, places, strict=True))
    if len(shared) < needed_bars(spec):
        raise _too_short(len(shared), spec)
    total = reinvested(bars)
    series = tuple(_series(bars, total, target, spec.horizon, places[0]) for target in spec.targets)
    columns = [
        _columns(one, names, at, total=total if one is bars else None)
        for (one, names), at in zip(read, places, strict=True)
    ]
    return Dataset(
        spec=spec,
        sessions=shared,
        next_sessions=np.append(bars.sessions[1:], np.datetime64("NaT", "D"))[places[0]],
        features=np.concatenate(columns, axis=1),
        series=series,
        first_origin=warm + spec.window - 1,
    )


def needed_bars(spec: NetworkSpec) -> int:
    """Return how many bars one forecast of ``spec`` needs: what its features look back on, and a window."""
    return max(look_back(spec.features), look_back(spec.read_of_peers)) + spec.window


def needed_sessions(order: TrainingOrder, *, samples: int | None = None) -> int:
    """Return how many sessions ``order`` needs to be trained and tested at all; a champion needs 750.

    ``samples`` have to train; when left out, as few as its spec can do with.
    """
    spec = order.spec
    return fewest_sessions(
        order.evaluation,
        first_origin=needed_bars(spec) - 1,
        horizon=spec.reach,
        samples=fewest_samples(spec) if samples is None else samples,
    )


def _too_short(have: int, spec: NetworkSpec) -> NotEnoughHistory:
    need = needed_bars(spec)
    shared = f" shared with {', '.join(spec.peers)}" if spec.peers else ""
    detail = f"{have} bars{shared}, at least {need} needed: a window of {spec.window} behind {need - spec.window}."
    return NotEnoughHistory(detail, have=have, need=need)


def _columns(bars: Bars, names: tuple[str, ...], at: Rows, *, total: Bars | None) -> Floats:
    """Return the features ``names`` of ``bars`` in the rows ``at``, ``(rows, columns)``."""
    features = build_features(bars, names, total=total)
    warm = look_back(names)
    for column, name in enumerate(column_names(names)):
        _refuse_unless(np.isfinite(features[warm:, column]), bars.rows(slice(warm, None)), f"{name} is not a number")
    return features[at]


def _series(bars: Bars, total: Bars, target: Target, horizon: int, at: Rows) -> Series:
    """Return what is to be foretold of ``target`` in the rows ``at``; returns are over its own sessions."""
    values, worth = bars.column(target.field), total.column(target.field)
    _refuse_unless(np.isfinite(values) & (values > 0), bars, f"{target.field} is missing or not positive")
    sigma = ewma_volatility(log_returns(worth))
    return Series(
        target=target,
        values=values[at],
        sigma=sigma[at],
        targets=future_log_returns(worth, horizon)[at],
    )


def _refuse_unless(good: NDArray[np.bool_], bars: Bars, fault: str) -> None:
    if good.all():
        return
    first = to_date(bars.sessions[int(np.argmin(good))])
    count = int(len(good) - good.sum())
    raise InvalidBars(f"{fault} in {count} bars, first {first}.", count=count, first=first.isoformat())
