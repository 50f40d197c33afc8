"""From a request to queued jobs: everything that can be known to fail is refused before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from sqlalchemy import Connection

from app.api.dependencies import caller_of
from app.api.documents import root_path_of
from app.api.job_documents import job_document
from app.dataset.features import require_known
from app.domain.access import Caller
from app.domain.job import Job
from app.domain.order import POOLED, TrainingOrder
from app.domain.pooled import PooledOrder, of_many_tickers
from app.domain.search import TuningOrder
from app.errors import AppError, Conflict, NoBarsYet, QuotaExceeded, UnknownTicker
from app.forecasting.market_data import RawBars, check_columns, check_order
from app.forecasting.peers import at_peer, naming_peer
from app.forecasting.services import Services
from app.jobs.submission import active_of, remember, replay, submit
from app.prices.base import UPLOAD
from app.registry import snapshots

_REFRESH_ALL = "all"

Queued = tuple[dict[str, Any], list[Job]]
"""An answer, and the jobs that were queued for it: whoever carries jobs is told of them once that is committed."""
Work = Callable[[Connection], Queued]


@dataclass(frozen=True, kw_only=True)
class Once:
    """An idempotency key, whose it is, and the fingerprint of what it was sent for."""

    key: str
    principal: str
    fingerprint: str


def once(key: str | None, caller: Caller, *parts: object) -> Once | None:
    """Bind ``key`` of ``caller`` to the payload ``parts``; ``None`` without a key."""
    if key is None:
        return None
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    fingerprint = hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
    return Once(key=key, principal=caller.name, fingerprint=fingerprint)


def answered_before(marker: Once | None, *, services: Services) -> dict[str, Any] | None:
    """Return the answer kept under the key, to be given again whatever the same request would meet today.

    Raises:
        IdempotencyMismatch: the key was used for another payload; send a new one.
    """
    if marker is None:
        return None
    with services.database.read() as tx:
        return replay(tx, **_names(marker), now=services.clock())


def answer_once(marker: Once | None, work: Work, *, services: Services) -> Queued:
    """Do ``work`` and keep its answer under the key in one transaction, or return the answer kept before, and no job.

    Raises:
        IdempotencyMismatch: the key was used for another payload; send a new one.
        Conflict: another request with this key was first, and left no answer; send it again.
    """
    if marker is None:
        with services.database.write() as tx:
            return work(tx)
    try:
        return _answer_first(marker, work, services=services)
    except Conflict:
        kept = answered_before(marker, services=services)  # by who was first, and has committed: that kept us out
        if kept is None:
            raise
        return kept, []


def _answer_first(marker: Once, work: Work, *, services: Services) -> Queued:
    now = services.clock()
    with services.database.write() as tx:
        kept = replay(tx, **_names(marker), now=now)
        if kept is not None:
            return kept, []
        answer, fresh = work(tx)
        remember(tx, **_names(marker), answer=answer, now=now)
        return answer, fresh


def _names(marker: Once) -> dict[str, str]:
    return {"key": marker.key, "principal": marker.principal, "fingerprint": marker.fingerprint}


def order_of(body: BaseModel, ticker: str, *, services: Services) -> TrainingOrder:
    """Build the domain's order for ``ticker``; what the request leaves out takes the preset's or the service's default.

    Raises:
        InvalidSpec, UnknownPreset, UnknownArchitecture: the order contradicts itself or names nothing.
    """
    return TrainingOrder.from_dict({**asked_of(body, services=services), "ticker": ticker})


def asked_of(body: BaseModel, *, services: Services) -> dict[str, Any]:
    """Return what the request asks for beside the tickers, with the service's defaults."""
    asked = body.model_dump(mode="json", exclude_unset=True, exclude={"ticker", "tickers", "universe", "priority"})
    # A null source is the service's own; a null start or end is said on purpose, against that of the preset.
    data = {name: value for name, value in asked.get("data", {}).items() if value is not None or name != "source"}
    return {
        **asked,
        "data": {"source": services.settings.source, **data},
        "timeout_seconds": asked.get("timeout_seconds") or services.settings.job_timeout_seconds,
    }


def refuse_early(
    orders: Sequence[TrainingOrder], *, services: Services, is_list: bool, samples: int | None = None
) -> None:
    """Refuse what cannot work, as far as that is known without asking anybody outside; ``samples`` as ``check_order``.

    All orders are for networks of one ticker each.

    Raises:
        UnknownSource, UnknownTicker, NoBarsYet: there are no such bars; of a peer, ``peer`` names it.
        InvalidSpec, InvalidBars, NotEnoughHistory: these bars cannot fill the order (``have``, ``need``).
    """
    if any(order.preset == POOLED for order in orders):
        raise of_many_tickers()
    at_hand = AtHand(services)
    for index, order in enumerate(orders):
        with naming_order(order, f"/tickers/{index}" if is_list else None):
            _refuse_early(order, at_hand, samples=samples)


@contextmanager
def naming_order(order: TrainingOrder, at: str | None) -> Iterator[None]:
    """Let an error of one order name its ticker, and point ``at`` its place in a list (``None``: it stands alone)."""
    try:
        yield
    except AppError as error:
        # What is wrong with the bars of a single order is no fault of the name.
        alone = "/ticker" if isinstance(error, UnknownTicker) else None
        error.pointer = error.pointer or at or alone
        error.facts.setdefault("ticker", order.ticker)
        raise


def _refuse_early(order: TrainingOrder, at_hand: AtHand, *, samples: int | None) -> None:
    spec, source = order.spec, order.data.source
    own = at_hand.bars(order.ticker, source)
    peers: dict[str, RawBars | None] = {}
    for index, peer in enumerate(spec.peers):
        with naming_peer(peer, at_peer(index)):
            peers[peer] = at_hand.bars(peer, source)
    if own is None:
        check_columns(spec)
        at = "/spec/features" if spec.peer_features is None else "/spec/peer_features"
        require_known(spec.read_of_peers, pointer=at)
    else:
        peers_at_hand = {peer: bars for peer, bars in peers.items() if bars}
        check_order(order, replace(own, peers=peers_at_hand), samples=samples)


class AtHand:
    """The bars that are cheap to have inside one request, each read once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._read: dict[tuple[str, str], RawBars | None] = {}

    def bars(self, ticker: str, source: str) -> RawBars | None:
        """Return the bars; ``None`` when only a remote source knows them."""
        if (ticker, source) not in self._read:
            self._read[ticker, source] = self._bars(ticker, source)
        return self._read[ticker, source]

    def _bars(self, ticker: str, source_name: str) -> RawBars | None:
        if source_name == UPLOAD:
            return self._uploaded(ticker)
        source = self._services.source(source_name)
        known = source.tickers()
        if known is not None and ticker not in known:
            detail = f"The source {source_name!r} has no ticker {ticker!r}."
            raise UnknownTicker(detail, ticker=ticker, source=source_name)
        if not source.local:
            return None
        return RawBars(history=source.history(ticker, now=self._services.clock()), snapshot_id=None)

    def _uploaded(self, ticker: str) -> RawBars:
        with self._services.database.read() as tx:
            row = snapshots.latest(tx, ticker, UPLOAD)
        if row is None:
            detail = f"No bars of {ticker} were uploaded; POST /v1/tickers/{ticker}/bars takes them."
            raise NoBarsYet(detail, ticker=ticker, source=UPLOAD)
        history = self._services.snapshots.load(row["snapshot_id"])
        return RawBars(history=history, snapshot_id=row["snapshot_id"])


def queue(
    orders: Sequence[TrainingOrder | TuningOrder | PooledOrder],
    *,
    kind: str,
    is_list: bool,
    priority: int,
    marker: Once | None,
    services: Services,
    request: Request,
) -> dict[str, Any]:
    """Queue one job an order, all in one transaction, and answer with the job, or with a list in the given order.

    Raises:
        IdempotencyMismatch, Conflict: as ``answer_once``.
        QuotaExceeded: as ``refuse_beyond_quota``.
    """
    caller = caller_of(request)

    def work(tx: Connection) -> Queued:
        fresh: list[Job] = []
        jobs: dict[str | None, dict[str, Any]] = {}
        # In one order for all, so that two lists never wait for each other's rows.
        for order in sorted(orders, key=lambda order: order.ticker or ""):
            job, known = submit_order(
                tx, order, kind=kind, submitted_by=caller.name, services=services, priority=priority
            )
            fresh.extend([] if known else [job])
            jobs[order.ticker] = job_document(job, root_path_of(request), deduplicated=known)
        refuse_beyond_quota(tx, caller, services=services)
        answer = {"items": [jobs[order.ticker] for order in orders]} if is_list else jobs[orders[0].ticker]
        return answer, fresh

    answer, fresh = answer_once(marker, work, services=services)
    services.delivery.send(fresh)
    return answer


def refuse_beyond_quota(tx: Connection, caller: Caller, *, services: Services) -> None:
    """Check what the transaction has queued against what one caller may have.

    Raises:
        QuotaExceeded: more jobs would wait or run (``need``) than may (``have``); none is queued. Try again later.
    """
    most, count = services.settings.max_jobs_per_key, active_of(tx, caller.name)
    if count > most:
        detail = f"{count} jobs of {caller.name} would wait or run; {most} may."
        raise QuotaExceeded(detail, have=most, need=count)


def submit_refresh(tx: Connection, *, submitted_by: str, services: Services) -> tuple[Job, bool]:
    """Queue one refresh for all tickers, or return the active one and ``True``."""
    return submit(
        tx,
        kind="refresh",
        ticker=None,
        payload={},
        dedupe=_REFRESH_ALL,
        max_attempts=services.settings.max_attempts,
        submitted_by=submitted_by,
        now=services.now(tx),
    )


def submit_order(
    tx: Connection,
    order: TrainingOrder | TuningOrder | PooledOrder,
    *,
    kind: str,
    submitted_by: str,
    services: Services,
    priority: int = 0,
) -> tuple[Job, bool]:
    """Queue the job of ``order``, or return the active one for the same work and ``True``."""
    return submit(
        tx,
        kind=kind,
        ticker=order.ticker,
        payload=order.to_dict(),
        dedupe=order.dedupe_key,
        priority=priority,
        max_attempts=services.settings.max_attempts,
        submitted_by=submitted_by,
        now=services.now(tx),
    )
