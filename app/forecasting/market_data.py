"""Bars for training and forecasting: asked for, kept, audited; the last good ones when the source is down."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app.dataset.features import fields_used, peer_fields_used, require_known
from app.dataset.prepare import Peers, needed_bars, needed_sessions, prepare
from app.domain.finding import Finding
from app.domain.history import BAR_FIELDS, PriceHistory, to_date
from app.domain.order import DataRange, TrainingOrder, fewest_samples
from app.domain.spec import NetworkSpec
from app.errors import AppError, InvalidBars, InvalidSpec, NoBarsYet, NotEnoughHistory, SourceUnavailable
from app.evaluation.splits import Split, require_scored, split
from app.forecasting.peers import at_peer, naming_peer, shared_sessions, too_few_shared, until_shared
from app.forecasting.services import Services
from app.prices.audit import audit
from app.prices.base import UPLOAD, finished
from app.registry import snapshots, tickers


@dataclass(frozen=True, eq=False, kw_only=True)
class MarketData:
    """Audited bars with their origin, and those of the peers, in the order of the spec.

    With peers the history ends at the last session that all of them share: what is said after it is as of a session
    at which everything that was read was known. ``whole`` is the history up to its own last session then.
    """

    history: PriceHistory
    findings: tuple[Finding, ...]
    snapshot_id: str | None
    peers: Mapping[str, PriceHistory] = field(default_factory=lambda: MappingProxyType({}))
    peer_snapshots: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    whole: PriceHistory | None = None

    @property
    def alone(self) -> MarketData:
        """What is known to who reads no peers."""
        return MarketData(history=self.whole or self.history, findings=self.findings, snapshot_id=self.snapshot_id)

    @property
    def peer_bars(self) -> Peers:
        """The bars of each peer."""
        return {peer: history.bars for peer, history in self.peers.items()}

    def within(self, data: DataRange) -> PriceHistory:
        """Return the sessions that ``data`` asks for, with peers up to the last of them that all share.

        Raises:
            NotEnoughHistory: none of them lies in that range.
        """
        return until_shared(_between(self.history, data.start, data.end), self.peers, need=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class RawBars:
    """Bars as the source gave them, kept under ``snapshot_id`` (``None``: only looked at); ``peers`` likewise.

    ``outage`` is the source's problem when old bars had to do.
    """

    history: PriceHistory
    snapshot_id: str | None
    outage: dict[str, Any] | None = None
    peers: Mapping[str, RawBars] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def outages(self) -> list[dict[str, Any]]:
        """The problems because of which old bars had to do, those of the ticker first; those of peers name the peer."""
        of_peers = [{**one.outage, "peer": peer} for peer, one in self.peers.items() if one.outage]
        return [self.outage, *of_peers] if self.outage else of_peers

    def audited_for(self, spec: NetworkSpec, *, start: date | None = None) -> MarketData:
        """Audit the bars for what ``spec`` uses; those before ``start`` do not count, whatever their faults.

        Raises:
            InvalidBars: they cannot be used; the findings say why.
            NotEnoughHistory: fewer than two can be used, none is of ``start`` or later, or the peers share none.
            InvalidSpec: the bars have no such field.
        """
        market = _audited(self, spec, start=start)
        history = until_shared(market.history, market.peers, need=needed_bars(spec))
        return replace(market, history=history, whole=market.history)


class Feed:
    """What the price sources say in one run: every ticker is asked for once, however many read it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._said: dict[tuple[str, str], RawBars | AppError] = {}

    def bars(self, ticker: str, source: str, *, peers: Sequence[str] = ()) -> RawBars:
        """Return the bars of ``ticker`` and its ``peers`` as they are known now, else the last good ones.

        Raises:
            UnknownSource, UnknownTicker, NoBarsYet: there are no such bars; of a peer, ``peer`` names it.
            InvalidBars: what the source gave is not a price history.
            SourceUnavailable: the source is down and nothing was kept from before; try again later.
        """
        own = self._ask(ticker, source)
        read: dict[str, RawBars] = {}
        for index, peer in enumerate(peers):
            with naming_peer(peer, at_peer(index)):
                read[peer] = self._ask(peer, source)
        return replace(own, peers=read)

    def _ask(self, ticker: str, source: str) -> RawBars:
        if (ticker, source) not in self._said:
            try:
                self._said[ticker, source] = _fetched(ticker, source, services=self._services)
            except AppError as error:
                self._said[ticker, source] = error
        said = self._said[ticker, source]
        if isinstance(said, AppError):
            raise said
        return said


def latest_bars(ticker: str, source: str, *, services: Services, peers: Sequence[str] = ()) -> RawBars:
    """Return the bars of ``ticker`` and its ``peers`` as they are known now: from the source, else the last good ones.

    Raises:
        UnknownSource, UnknownTicker, NoBarsYet, InvalidBars, SourceUnavailable: as ``Feed.bars``.
    """
    feed = Feed(services)
    try:
        own = feed.bars(ticker, source)
    except SourceUnavailable as outage:
        note_source(ticker, outage.to_problem(), services=services)
        raise
    if source != UPLOAD:
        note_source(ticker, own.outage, services=services)
    return feed.bars(ticker, source, peers=peers)


def note_source(ticker: str, problem: dict[str, Any] | None, *, services: Services) -> None:
    """Remember whether the source answered: forecasts say so of themselves."""
    with services.database.write() as tx:
        tickers.set_source_state(tx, ticker, ok=problem is None, error=problem, now=services.clock())


def keep(history: PriceHistory, *, services: Services, now: datetime, also: snapshots.Also | None = None) -> str:
    """Keep ``history`` as an immutable snapshot and return its id; ``also`` writes with it what goes with it.

    Raises:
        InvalidBars: some bars are of sessions that are not over by ``now``; leave them out.
        StoreUnavailable: nothing was noted; try again later.
    """
    if early := len(history) - len(finished(history, now=now)):
        first = to_date(np.sort(history.bars.sessions)[-early])
        detail = f"{early} bars are of sessions that are not over yet, the first on {first}; leave them out."
        raise InvalidBars(detail, ticker=history.ticker, count=early, first=first.isoformat())
    snapshot_id = services.snapshots.save(history)
    with services.database.write() as tx:
        _record(tx, snapshot_id, history, now=now)
        snapshots.refuse_going(tx, snapshot_id, now=services.now(tx))
        if also:
            also(tx, snapshot_id)
    return snapshot_id


def kept_bars(ticker: str, source: str, *, services: Services) -> RawBars:
    """Return the newest bars of ``ticker`` from ``source`` that are kept here.

    Raises:
        NoBarsYet: there are none.
    """
    with services.database.read() as tx:
        row = snapshots.latest(tx, ticker, source)
    if row is None:
        raise NoBarsYet(f"No bars of {ticker} from {source} are kept here.", ticker=ticker, source=source)
    return RawBars(history=services.snapshots.load(row["snapshot_id"]), snapshot_id=row["snapshot_id"])


def check_order(order: TrainingOrder, bars: RawBars, *, samples: int | None = None) -> None:
    """Refuse, before any work, an order that these bars cannot fill.

    ``samples`` have to train; when left out, as few as its spec can do with.

    Raises:
        InvalidBars: what the order uses of them is beyond repair; the findings say why.
        NotEnoughHistory: too few sessions, shared ones with peers, for window, features, horizon and evaluation
            (``have``, ``need``).
        InvalidSpec: the spec names a field or feature that does not exist, or ``train_end`` leaves nothing to test.
    """
    spec = order.spec
    check_columns(spec, extra=bars.history.bars.extra)
    for index, peer in enumerate(spec.peers):
        with naming_peer(peer, at_peer(index)):
            require_known(spec.read_of_peers, extra=bars.peers[peer].history.bars.extra)
    market = _audited(bars, spec, start=order.data.start)
    history = _between(market.history, order.data.start, order.data.end)
    try:
        cut = _cut(order, history, market, fewest_samples(order.spec) if samples is None else samples)
    except NotEnoughHistory as few:
        if not spec.peers:
            raise
        raise too_few_shared(history, market.peers, have=few.facts["have"], need=few.facts["need"]) from few
    require_scored(cut, horizon=spec.horizon)


def check_columns(spec: NetworkSpec, *, extra: Collection[str] = ()) -> None:
    """Refuse features and targets of ``spec`` that are neither known nor among the ``extra`` columns of the bars.

    Raises:
        InvalidSpec: there is none of that name; use one of those the error names.
    """
    require_known(spec.features, extra=extra)
    known = [*BAR_FIELDS, *sorted(extra)]
    for index, target in enumerate(spec.targets):
        if target.field not in known:
            at = f"/spec/targets/{index}" if len(spec.targets) > 1 else "/spec/target"
            detail = f"The bars have no field {target.field!r}. Known: {', '.join(known)}."
            raise InvalidSpec(detail, pointer=f"{at}/field", field=target.field, known=known)


def _cut(order: TrainingOrder, history: PriceHistory, market: MarketData, samples: int) -> Split:
    """Cut the sessions that train and test, shared ones with peers, as the evaluation will."""
    spec = order.spec
    have = len(shared_sessions(history, market.peers))
    if have < needed_bars(spec):
        need = needed_sessions(order, samples=samples)
        detail = f"{have} sessions, at least {need} needed to train and to test on."
        raise NotEnoughHistory(detail, have=have, need=need)
    dataset = prepare(history.bars, spec, market.peer_bars)
    return split(
        order.evaluation,
        dataset.sessions,
        first_origin=dataset.first_origin,
        horizon=spec.reach,
        samples=samples,
    )


def _audited(bars: RawBars, spec: NetworkSpec, *, start: date | None) -> MarketData:
    """Audit the bars of the ticker and its peers, each for what ``spec`` uses of them."""
    history, found = audit(_between(bars.history, start), fields=fields_used(spec))
    findings = list(found)
    peers: dict[str, PriceHistory] = {}
    for index, peer in enumerate(spec.peers):
        with naming_peer(peer, at_peer(index)):
            peers[peer], found = audit(_between(bars.peers[peer].history, start), fields=peer_fields_used(spec))
        findings += [replace(finding, detail=f"{peer}: {finding.detail}") for finding in found]
    return MarketData(
        history=history,
        findings=tuple(findings),
        snapshot_id=bars.snapshot_id,
        peers=peers,
        peer_snapshots={peer: bars.peers[peer].snapshot_id for peer in spec.peers},
    )


def _between(history: PriceHistory, start: date | None, end: date | None = None) -> PriceHistory:
    """Return the sessions from ``start`` to ``end``, and refuse when there are none."""
    chosen = history.between(start, end)
    if len(history) and not len(chosen):
        span = f"{history.first_session} to {history.last_session}"
        asked = " ".join(f"{word} {day}" for word, day in (("from", start), ("to", end)) if day)
        detail = f"{history.ticker}: no bars {asked}; there are bars from {span}."
        raise NotEnoughHistory(detail, pointer="/data", have=0, need=1)
    return chosen


def _fetched(ticker: str, source: str, *, services: Services) -> RawBars:
    """Ask the source, and keep what it gives; when it is down, load the last good bars."""
    if source == UPLOAD:
        return kept_bars(ticker, source, services=services)
    now = services.clock()
    try:
        history = services.source(source).history(ticker, now=now)
    except SourceUnavailable as outage:
        try:
            return replace(kept_bars(ticker, source, services=services), outage=outage.to_problem())
        except NoBarsYet:
            raise outage from None
    return RawBars(history=history, snapshot_id=keep(history, services=services, now=now))


def _record(tx: Connection, snapshot_id: str, history: PriceHistory, *, now: datetime) -> None:
    tickers.ensure(tx, history.ticker)
    snapshots.record(
        tx,
        snapshot_id=snapshot_id,
        ticker=history.ticker,
        source=history.source,
        first_session=history.first_session,
        last_session=history.last_session,
        rows=len(history),
        meta={"currency": history.currency, "price_basis": history.price_basis},
        now=now,
    )
