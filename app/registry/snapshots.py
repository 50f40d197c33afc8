"""Which bars were fetched when; the bars themselves lie in the snapshot store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, select

from app.db.tables import snapshots
from app.db.upsert import insert


def record(  # noqa: PLR0913 - the fields of a snapshot, by name
    tx: Connection,
    *,
    snapshot_id: str,
    ticker: str,
    source: str,
    first_session: date,
    last_session: date,
    rows: int,
    meta: Mapping[str, Any],
    now: datetime,
) -> None:
    """Note a fetch; the same bars fetched again only become newer."""
    fetched = {
        "snapshot_id": snapshot_id,
        "ticker": ticker,
        "source": source,
        "first_session": first_session,
        "last_session": last_session,
        "rows": rows,
        "meta": dict(meta),
        "fetched_at": now,
    }
    newer = insert(tx, snapshots).values(fetched)
    tx.execute(
        newer.on_conflict_do_update(
            index_elements=["snapshot_id"], set_={"fetched_at": now}, where=snapshots.c.fetched_at < now
        )
    )


def latest(tx: Connection, ticker: str, source: str | None = None) -> dict[str, Any] | None:
    """Return the ticker's newest fetch, of one source or of any."""
    fetches = select(snapshots).where(snapshots.c.ticker == ticker)
    if source is not None:
        fetches = fetches.where(snapshots.c.source == source)
    row = tx.execute(fetches.order_by(snapshots.c.fetched_at.desc()).limit(1)).one_or_none()
    return dict(row._mapping) if row else None


def tickers_of(tx: Connection, source: str) -> list[str]:
    """Return the tickers of which bars from ``source`` are kept, in order."""
    kept = select(snapshots.c.ticker).where(snapshots.c.source == source).distinct()
    return list(tx.execute(kept.order_by(snapshots.c.ticker)).scalars())


def get(tx: Connection, snapshot_id: str) -> dict[str, Any] | None:
    """Return what is known of a snapshot."""
    row = tx.execute(select(snapshots).where(snapshots.c.snapshot_id == snapshot_id)).one_or_none()
    return dict(row._mapping) if row else None
