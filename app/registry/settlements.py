"""From which bars the scores of a ticker were settled last."""

from __future__ import annotations

from sqlalchemy import Connection, select

from app.db.tables import settlements
from app.db.upsert import insert


def current(tx: Connection, ticker: str, source: str) -> str | None:
    """Return the snapshot from which what was forecast by bars of ``source`` was settled last, ``None`` before."""
    settled = select(settlements.c.snapshot_id).where(settlements.c.ticker == ticker, settlements.c.source == source)
    return tx.execute(settled).scalar_one_or_none()


def note(tx: Connection, ticker: str, source: str, snapshot_id: str) -> None:
    """Note that all scores agree with this snapshot."""
    noted = insert(tx, settlements).values(ticker=ticker, source=source, snapshot_id=snapshot_id)
    tx.execute(noted.on_conflict_do_update(index_elements=["ticker", "source"], set_={"snapshot_id": snapshot_id}))
