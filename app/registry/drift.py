"""How far each served version's world has moved from what it learnt, as of its last refresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from app.db.tables import drift
from app.db.upsert import insert


def write(tx: Connection, ticker: str, version: int, body: Mapping[str, Any], *, now: datetime) -> None:
    """Keep what was found, in place of what was found before."""
    found = {"checked_at": now, "body": dict(body)}
    kept = insert(tx, drift).values(ticker=ticker, version=version, **found)
    tx.execute(kept.on_conflict_do_update(index_elements=["ticker", "version"], set_=found))


def known(tx: Connection, tickers: Sequence[str]) -> dict[tuple[str, int], tuple[datetime, dict[str, Any]]]:
    """Return when each version of ``tickers`` was checked and what was found."""
    rows = select(drift).where(drift.c.ticker.in_(tickers))
    return {(row.ticker, row.version): (row.checked_at, row.body) for row in tx.execute(rows)}
