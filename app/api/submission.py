"""From a request to queued jobs: everything that can be known to fail is refused before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection

from app.api.dependencies import ANONYMOUS
from app.dataset.features import fields_used
from app.domain.history import PriceHistory
from app.domain.order import TrainingOrder
from app.errors import AppError, NoBarsYet, UnknownTicker
from app.forecasting.market_data import check_order
from app.forecasting.services import Services
from app.jobs.submission import remember, replay
from app.prices.base import UPLOAD
from app.registry import snapshots


@dataclass(frozen=True, kw_only=True)
class Once:
    """An idempotency key with the fingerprint of what it was sent for."""

    key: str
    fingerprint: str


def once(key: str | None, *parts: object) -> Once | None:
    """Bind ``key`` to the payload ``parts``; ``None`` without a key."""
    if key is None:
        return None
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return Once(key=key, fingerprint=hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest())


def answered_before(marker: Once | None, *, services: Services) -> dict[str, Any] | None:
    """Return the answer kept under the key, to be given again whatever the same request would meet today.

    Raises:
        IdempotencyMismatch: the key was used for another payload; send a new one.
    """
    if marker is None:
        return None
    with services.database.read() as tx:
        return replay(tx, **_names(marker), now=services.clock())


def answer_once(
    marker: Once | None, work: Callable[[Connection], dict[str, Any]], *, services: Services
) -> dict[str, Any]:
    """Do ``work`` and keep its answer under the key in one transaction, or return the answer kept before.

    Raises:
        IdempotencyMismatch: the key was used for another payload; send a new one.
        Conflict: the first request with this key is still under way; send it again.
    """
    now = services.clock()
    with services.database.write() as tx:
        if marker is None:
            return work(tx)
        kept = replay(tx, **_names(marker), now=now)
        if kept is not None:
            return kept
        answer = work(tx)
        remember(tx, **_names(marker), answer=answer, now=now)
        return answer


def _names(marker: Once) -> dict[str, str]:
    return {"key": marker.key, "principal": ANONYMOUS, "fingerprint": marker.fingerprint}


def order_of(body: BaseModel, ticker: str, *, services: Services) -> TrainingOrder:
    """Build the domain's order for ``ticker``; what the request leaves out takes the preset's or the service's default.

    Raises:
        InvalidSpec, UnknownPreset, UnknownArchitecture: the order contradicts itself or names nothing.
    """
    asked = body.model_dump(mode="json", exclude_unset=True, exclude={"ticker", "tickers", "priority"})
    data = {name: value for name, value in asked.get("data", {}).items() if value is not None}
    return TrainingOrder.from_dict(
        {
            **asked,
            "ticker": ticker,
            "data": {"source": services.settings.source, **data},
            "timeout_seconds": asked.get("timeout_seconds") or services.settings.job_timeout_seconds,
        }
    )


def refuse_early(orders: Sequence[TrainingOrder], *, services: Services, is_list: bool) -> None:
    """Refuse what cannot work, as far as that is known without asking anybody outside.

    Raises:
        UnknownSource, UnknownTicker, NoBarsYet: there are no such bars.
        InvalidSpec, InvalidBars, NotEnoughHistory: these bars cannot fill the order (``have``, ``need``).
    """
    for index, order in enumerate(orders):
        try:
            _refuse_early(order, services=services)
        except UnknownTicker as error:
            error.pointer = f"/tickers/{index}" if is_list else "/ticker"
            raise
        except AppError as error:
            error.facts.setdefault("ticker", order.ticker)
            raise


def _refuse_early(order: TrainingOrder, *, services: Services) -> None:
    fields_used(order.spec)  # names every feature, so an unknown one is refused here
    history = _known_history(order.ticker, order.data.source, services=services)
    if history is not None:
        check_order(order, history)


def _known_history(ticker: str, source_name: str, *, services: Services) -> PriceHistory | None:
    """Return the bars when they are cheap to have; ``None`` when only a remote source knows them."""
    if source_name == UPLOAD:
        return _uploaded(ticker, services=services)
    source = services.source(source_name)
    known = source.tickers()
    if known is not None and ticker not in known:
        raise UnknownTicker(f"The source {source_name!r} has no ticker {ticker!r}.", ticker=ticker, source=source_name)
    return source.history(ticker, now=services.clock()) if source.local else None


def _uploaded(ticker: str, *, services: Services) -> PriceHistory:
    with services.database.read() as tx:
        row: Mapping[str, Any] | None = snapshots.latest(tx, ticker, UPLOAD)
    if row is None:
        detail = f"No bars of {ticker} were uploaded; POST /v1/tickers/{ticker}/bars takes them."
        raise NoBarsYet(detail, ticker=ticker, source=UPLOAD)
    return services.snapshots.load(row["snapshot_id"])
