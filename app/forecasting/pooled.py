"""Tickers that share a network: their bars side by side, and the network that others may adopt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.dataset.prepare import Dataset, needed_bars, needed_sessions, prepare
from app.domain.history import PriceHistory
from app.domain.order import Evaluation, TrainingOrder, fewest_samples
from app.domain.pooled import PooledNetwork, PooledOrder, Window
from app.domain.spec import NetworkSpec
from app.domain.version import ModelVersion
from app.errors import InvalidSpec, NoPooledModel, NotEnoughHistory
from app.evaluation.splits import Fold, Split, folds_in, require_scored, shared_windows, split_of
from app.forecasting.market_data import MarketData, RawBars, check_columns
from app.forecasting.peers import naming_ticker
from app.registry import versions


@dataclass(frozen=True, eq=False, kw_only=True)
class Member:
    """One ticker beside others: its bars, and its ``folds`` by the number of the window; ``split`` holds the same."""

    order: TrainingOrder
    market: MarketData
    history: PriceHistory
    dataset: Dataset
    folds: Mapping[int, Fold]
    split: Split


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """All tickers of a universe, and the ``windows`` that are forecast; ``protocol`` says how these were asked for."""

    members: tuple[Member, ...]
    windows: tuple[Window, ...]
    protocol: Mapping[str, object]

    @property
    def datasets(self) -> list[Dataset]:
        """What the network reads, one a ticker."""
        return [member.dataset for member in self.members]


def make_pool(order: PooledOrder, bars: Mapping[str, RawBars]) -> Pool:
    """Lay the bars of all tickers side by side and cut them by dates that are the same for all.

    Raises:
        InvalidBars, NotEnoughHistory: those of ``ticker`` cannot be used, or are too few (``have``, ``need``).
        InvalidSpec: the spec names a field or feature that does not exist, or ``train_end`` leaves nothing to test.
    """
    spec, samples = order.spec, fewest_samples(order.spec)
    read = [_read(one, bars[one.ticker]) for one in order.orders]
    windows, protocol = shared_windows(
        order.orders[0].evaluation,
        [dataset.sessions for *_, dataset in read],
        first_origin=min(dataset.first_origin for *_, dataset in read),
        horizon=spec.reach,
        samples=samples,
    )
    protocol = {**protocol, "universe": len(read)}
    members = [
        _member(one, market, history, dataset, windows=windows, protocol=protocol)
        for one, (market, history, dataset) in zip(order.orders, read, strict=True)
    ]
    return Pool(members=tuple(members), windows=windows, protocol=protocol)


def make_member(order: TrainingOrder, bars: RawBars, network: PooledNetwork) -> Member:
    """Cut the bars of a ticker that adopts ``network`` by the windows that were kept with it, and what came since.

    Raises:
        InvalidBars, NotEnoughHistory, InvalidSpec: as ``make_pool``.
    """
    market, history, dataset = _read(order, bars)
    windows = network.windows_for_others
    return _member(order, market, history, dataset, windows=windows, protocol=network.protocol)


def newest_pooled(tx: Connection) -> tuple[ModelVersion, PooledNetwork]:
    """Return a version whose bundle holds the newest pooled network, and what is known of that.

    Raises:
        NoPooledModel: there is none; train one on a universe.
    """
    version = versions.newest_pooled(tx)
    if version is None:
        detail = "There is no pooled network to adopt; POST /v1/train with a universe fits one."
        raise NoPooledModel(detail)
    return version, PooledNetwork.from_dict(version.order["pooled"])


def adoption_of(order: TrainingOrder, version: ModelVersion) -> TrainingOrder:
    """Return the order of a ticker that takes the pooled network of ``version`` as it is."""
    there = TrainingOrder.from_dict(version.order)
    return replace(order, spec=there.spec, evaluation=there.evaluation)


def refuse_changes(adoption: TrainingOrder, *, spec: NetworkSpec | None, evaluation: Evaluation | None) -> None:
    """Refuse what would need another fit; ``None`` was not asked for.

    Raises:
        InvalidSpec: the network is adopted as it is; leave the field out, or train a universe.
    """
    for name, asked, there in (("spec", spec, adoption.spec), ("evaluation", evaluation, adoption.evaluation)):
        if asked is not None and asked != there:
            detail = f"A pooled network is adopted as it was fitted and tested; its {name} is another."
            raise InvalidSpec(detail, pointer=f"/{name}")


def _read(order: TrainingOrder, bars: RawBars) -> tuple[MarketData, PriceHistory, Dataset]:
    with naming_ticker(order.ticker):
        check_columns(order.spec, extra=bars.history.bars.extra)
        market = bars.audited_for(order.spec, start=order.data.start)
        history = market.within(order.data)
        if len(history) < needed_bars(order.spec):
            have, need = len(history), needed_sessions(order)
            raise NotEnoughHistory(f"{have} sessions, at least {need} needed to be tested on.", have=have, need=need)
        return market, history, prepare(history.bars, order.spec)


def _member(
    order: TrainingOrder,
    market: MarketData,
    history: PriceHistory,
    dataset: Dataset,
    *,
    windows: tuple[Window, ...],
    protocol: Mapping[str, object],
) -> Member:
    spec = order.spec
    with naming_ticker(order.ticker):
        folds = folds_in(
            windows,
            dataset.sessions,
            first_origin=dataset.first_origin,
            horizon=spec.reach,
            samples=fewest_samples(spec),
        )
        split = split_of(folds, dataset.sessions, protocol)
        require_scored(split, horizon=spec.horizon)
    return Member(order=order, market=market, history=history, dataset=dataset, folds=folds, split=split)
