"""What is known of a ticker beside its versions: how its price source fares, and when it is due again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, or_, select, update

from app.db.json_ready import json_ready
from app.db.tables import scores, tickers, versions
from app.db.upsert import insert
from app.registry.editions import next_edition
from app.registry.scores import waiting

STATE = (tickers.c.source_ok, tickers.c.source_error, tickers.c.checked_at, tickers.c.next_update_at)


def ensure(tx: Connection, ticker: str) -> None:
    """Make the ticker known, if it is not yet."""
    tx.execute(insert(tx, tickers).values(ticker=ticker, last_number=0).on_conflict_do_nothing())


def lock(tx: Connection, ticker: str) -> None:
    """Let nobody else change this ticker's aliases or versions until the transaction ends."""
    # Not the strongest lock: that one waits for every version being registered, whose foreign key holds the row,
    # and two registrations that then lock would wait for each other.
    tx.execute(select(tickers.c.ticker).where(tickers.c.ticker == ticker).with_for_update(key_share=True))


def get(tx: Connection, ticker: str) -> dict[str, Any] | None:
    """Return ``source_ok`` (``None``: never asked), ``source_error``, ``checked_at``, ``next_update_at``."""
    row = tx.execute(select(*STATE).where(tickers.c.ticker == ticker)).one_or_none()
    return dict(row._mapping) if row else None


def set_source_state(tx: Connection, ticker: str, *, ok: bool, error: Mapping[str, Any] | None, now: datetime) -> None:
    """Note whether the price source answered; another answer, or another reason for none, makes a new edition."""
    ensure(tx, ticker)
    lock(tx, ticker)
    before = get(tx, ticker) or {}
    values = {"source_ok": ok, "source_error": json_ready(error), "checked_at": now}
    tx.execute(update(tickers).where(tickers.c.ticker == ticker).values(values))
    if (before.get("source_ok"), _code(before.get("source_error"))) != (ok, _code(error)):
        next_edition(tx)


def set_next_update(tx: Connection, ticker: str, at: datetime | None) -> None:
    """Plan the next refresh of the ticker; ``None``: not planned, hence due at once."""
    ensure(tx, ticker)
    tx.execute(update(tickers).where(tickers.c.ticker == ticker).values(next_update_at=at))


def note_bars(tx: Connection, ticker: str, *, due_at: datetime, late_sessions: int) -> None:
    """Note when the bar after the oldest served forecast was, or will be, due, and the sessions closed without it."""
    values = {"bar_due_at": due_at, "late_sessions": late_sessions}
    tx.execute(update(tickers).where(tickers.c.ticker == ticker).values(values))


def due(tx: Connection, *, now: datetime) -> list[str]:
    """Return the tickers whose next update is past or was never planned, in ticker order.

    Those with a version: without a champion the baseline answers, and it too needs the newest bars. And those without
    one of which a forecast still waits for its score.
    """
    served = exists().where(versions.c.ticker == tickers.c.ticker)
    awaited = exists().where(scores.c.ticker == tickers.c.ticker, waiting(now.date()))
    past = or_(tickers.c.next_update_at <= now, tickers.c.next_update_at.is_(None))
    chosen = select(tickers.c.ticker).where(past, or_(served, awaited))
    return list(tx.execute(chosen.order_by(tickers.c.ticker)).scalars())


def _code(error: Mapping[str, Any] | None) -> Any:
    return error["code"] if error else None
