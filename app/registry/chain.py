"""The chain over all forecasts: each link holds the one before it, so that no stored forecast changes unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Text, cast, select

from app.db.counting import add
from app.db.tables import counters, forecast_chain, forecasts

GENESIS = "0" * 64
_COUNTER = "forecasts"
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The first forecast that is not what was issued: ``altered``, ``removed`` or ``inserted``.

    ``sequence`` counts forecasts from 1 in the order of issue, ``None`` for one that never got a number;
    ``forecast_id`` is ``None`` where nothing is left that names it.
    """

    what: str
    sequence: int | None
    forecast_id: str | None


@dataclass(frozen=True, kw_only=True)
class Verified:
    """How many links hold, the last one's hash, and the first fault. Note ``head`` elsewhere: it pins all before it."""

    count: int
    head: str
    fault: Fault | None


def append(tx: Connection, forecast_id: str, body: Mapping[str, Any]) -> None:
    """Link a forecast to the one issued before; the caller holds the edition, so that none is issued between."""
    sequence = add(tx, _COUNTER)
    before = select(forecast_chain.c.hash).where(forecast_chain.c.sequence == sequence - 1)
    previous = tx.execute(before).scalar_one_or_none() or GENESIS
    linked = {"sequence": sequence, "forecast_id": forecast_id, "hash": link(previous, body)}
    tx.execute(forecast_chain.insert().values(linked))


def link(previous: str, body: Mapping[str, Any]) -> str:
    """Return the SHA-256 over the hash before, a line break and the canonical JSON of the forecast's ``body``.

    Canonical is: keys in order, no blanks, ASCII, numbers as the shortest decimals that read back the same.
    """
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def verify(tx: Connection) -> Verified:
    """Walk the whole chain from the first forecast on and say where it first breaks."""
    count, head = 0, GENESIS
    linked = select(forecast_chain, forecasts.c.forecast_id.label("stored"), *_FOUND_BY, _BODY)
    linked = linked.outerjoin(forecasts, forecasts.c.forecast_id == forecast_chain.c.forecast_id)
    linked = linked.order_by(forecast_chain.c.sequence).execution_options(yield_per=_BATCH)
    with tx.execute(linked) as rows:
        for row in rows:
            fault = _fault(row, expected=count + 1, previous=head)
            if fault is not None:
                return Verified(count=count, head=head, fault=fault)
            count, head = row.sequence, row.hash
    return Verified(count=count, head=head, fault=_cut_off(tx, count) or _unlinked(tx))


# The body as the text that it is kept as: of one that was tampered with not even JSON may be left.
_BODY = cast(forecasts.c.body, Text).label("body")
_FOUND_BY = tuple(forecasts.c[name] for name in ("ticker", "version", "as_of_session", "issued_at", "edition"))


def _fault(row: Row[Any], *, expected: int, previous: str) -> Fault | None:
    if row.sequence != expected:
        return Fault(what="removed", sequence=expected, forecast_id=None)
    if row.stored is None:
        return Fault(what="removed", sequence=expected, forecast_id=row.forecast_id)
    # The columns that forecasts are found by say the same as the body.
    shown = {name.key: getattr(row, name.key) for name in _FOUND_BY} | {"forecast_id": row.forecast_id}
    shown |= {name: shown[name].isoformat() for name in ("as_of_session", "issued_at")}
    body = _parsed(row.body)
    if {name: body.get(name) for name in shown} != shown or link(previous, body) != row.hash:
        return Fault(what="altered", sequence=expected, forecast_id=row.forecast_id)
    return None


def _parsed(text: str) -> dict[str, Any]:
    """Read a stored body; what is no JSON object is an empty one, which nobody ever issued."""
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _cut_off(tx: Connection, count: int) -> Fault | None:
    """Whether more forecasts were issued than the chain is long."""
    issued = tx.execute(select(counters.c.value).where(counters.c.name == _COUNTER)).scalar_one_or_none() or 0
    return Fault(what="removed", sequence=count + 1, forecast_id=None) if issued > count else None


def _unlinked(tx: Connection) -> Fault | None:
    """The oldest forecast that was never issued."""
    known = select(forecast_chain.c.forecast_id)
    strange = select(forecasts.c.forecast_id).where(forecasts.c.forecast_id.not_in(known))
    found = tx.execute(strange.order_by(forecasts.c.issued_at, forecasts.c.forecast_id).limit(1)).scalar_one_or_none()
    return Fault(what="inserted", sequence=None, forecast_id=found) if found else None
