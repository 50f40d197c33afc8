"""Bars for training and forecasting: asked for, kept, audited; the last good ones when the source is down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app.dataset.features import fields_used
from app.dataset.prepare import needed_bars, needed_sessions, prepare
from app.domain.finding import Finding
from app.domain.history import PriceHistory, to_date
from app.domain.order import DataRange, TrainingOrder
from app.domain.spec import NetworkSpec
from app.errors import InvalidBars, NoBarsYet, NotEnoughHistory, SourceUnavailable
from app.evaluation.splits import split
from app.forecasting.services import Services
from app.prices.audit import audit
from app.prices.base import UPLOAD, finished
from app.registry import snapshots, tickers


@dataclass(frozen=True, eq=False, kw_only=True)
class MarketData:
    """Audited bars with their origin; ``outage`` is the source's problem when old bars had to do."""

    history: PriceHistory
    findings: tuple[Finding, ...]
    snapshot_id: str | None
    outage: dict[str, Any] | None = None

    def within(self, data: DataRange) -> PriceHistory:
        """Return the sessions that ``data`` asks for.

        Raises:
            NotEnoughHistory: none of them lies in that range.
        """
        return _between(self.history, data.start, data.end)


@dataclass(frozen=True, eq=False, kw_only=True)
class RawBars:
    """Bars as the source gave them, kept under ``snapshot_id``."""

    history: PriceHistory
    snapshot_id: str
    outage: dict[str, Any] | None = None

    def audited_for(self, spec: NetworkSpec, *, start: date | None = None) -> MarketData:
        """Audit the bars for what ``spec`` uses; those before ``start`` do not count, whatever their faults.

        Raises:
            InvalidBars: they cannot be used; the findings say why.
            NotEnoughHistory: fewer than two can be used, or none is of ``start`` or later.
            InvalidSpec: the bars have no such field.
        """
        history, findings = audit(_between(self.history, start), fields=fields_used(spec))
        return MarketData(history=history, findings=tuple(findings), snapshot_id=self.snapshot_id, outage=self.outage)


def latest_bars(ticker: str, source: str, *, services: Services) -> RawBars:
    """Return the bars of ``ticker`` as they are known now: from the source, else the last good ones.

    Raises:
        UnknownSource, UnknownTicker, NoBarsYet: there are no such bars.
        InvalidBars: what the source gave is not a price history.
        SourceUnavailable: the source is down and nothing was kept from before; try again later.
    """
    if source == UPLOAD:
        return _kept(ticker, source, services=services)
    now = services.clock()
    try:
        history = services.source(source).history(ticker, now=now)
    except SourceUnavailable as outage:
        problem = outage.to_problem()
        _note_source(ticker, problem, services=services, now=now)
        try:
            return replace(_kept(ticker, source, services=services), outage=problem)
        except NoBarsYet:
            raise outage from None
    snapshot_id = keep(history, services=services, now=now)
    _note_source(ticker, None, services=services, now=now)
    return RawBars(history=history, snapshot_id=snapshot_id)


def keep(history: PriceHistory, *, services: Services, now: datetime) -> str:
    """Keep ``history`` as an immutable snapshot and return its id.

    Raises:
        InvalidBars: some bars are of sessions that are not over by ``now``; leave them out.
    """
    early = len(history) - len(finished(history, now=now))
    if early:
        first = to_date(np.sort(history.bars.sessions)[-early])
        detail = f"{early} bars are of sessions that are not over yet, the first on {first}; leave them out."
        raise InvalidBars(detail, ticker=history.ticker, count=early, first=first.isoformat())
    snapshot_id = services.snapshots.save(history)
    with services.database.write() as tx:
        _record(tx, snapshot_id, history, now=now)
    return snapshot_id


def check_order(order: TrainingOrder, history: PriceHistory) -> None:
    """Refuse, before any work, an order that these bars cannot fill.

    Raises:
        InvalidBars: what the order uses of them is beyond repair; the findings say why.
        NotEnoughHistory: too few sessions for window, features, horizon and evaluation (``have``, ``need``).
        InvalidSpec: the spec names a field or feature that does not exist, or ``train_end`` leaves nothing to test.
    """
    audited, _ = audit(_between(history, order.data.start), fields=fields_used(order.spec))
    bars = _between(audited, order.data.start, order.data.end).bars
    if len(bars) < needed_bars(order.spec):
        need = needed_sessions(order)
        detail = f"{len(bars)} sessions, at least {need} needed to train and to test on."
        raise NotEnoughHistory(detail, have=len(bars), need=need)
    dataset = prepare(bars, order.spec)
    split(order.evaluation, dataset.sessions, first_origin=dataset.first_origin, horizon=order.spec.horizon)


def _between(history: PriceHistory, start: date | None, end: date | None = None) -> PriceHistory:
    """Return the sessions from ``start`` to ``end``, and refuse when there are none."""
    chosen = history.between(start, end)
    if len(history) and not len(chosen):
        span = f"{history.first_session} to {history.last_session}"
        detail = f"{history.ticker}: no bars from {start} to {end}; there are bars from {span}."
        raise NotEnoughHistory(detail, pointer="/data", have=0, need=1)
    return chosen


def _kept(ticker: str, source: str, *, services: Services) -> RawBars:
    """Load the newest snapshot of ``ticker`` from ``source``."""
    with services.database.read() as tx:
        row = snapshots.latest(tx, ticker, source)
    if row is None:
        raise NoBarsYet(f"No bars of {ticker} from {source} are kept here.", ticker=ticker, source=source)
    return RawBars(history=services.snapshots.load(row["snapshot_id"]), snapshot_id=row["snapshot_id"])


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


def _note_source(ticker: str, problem: dict[str, Any] | None, *, services: Services, now: datetime) -> None:
    """Remember whether the source answered: forecasts say so of themselves."""
    with services.database.write() as tx:
        tickers.set_source_state(tx, ticker, ok=problem is None, error=problem, now=now)
