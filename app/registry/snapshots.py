"""Which bars were fetched when; the bars themselves lie in the snapshot store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, select, text

from app.db.tables import counters, snapshots
from app.db.upsert import insert
from app.errors import StoreUnavailable

# More than it takes to remove a file, or to save one and note its fetch, however slow its store and the registry are.
_GOING_MINUTES = 3
_GOING = "going "

Also = Callable[[Connection, str], None]
"""What is to be written with a snapshot, in its transaction: it is given the snapshot's id."""


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


def let_go(tx: Connection, snapshot_id: str, *, now: datetime) -> bool:
    """Return whether a file may go since no fetch of it is noted; none is then, for the minutes that it may take to go.

    Remove it after the commit, and at once. So a row is never without its file, and no transaction waits for a store.
    """
    if tx.dialect.name == "postgresql":  # on SQLite a transaction that writes is alone
        tx.execute(text(f"LOCK TABLE {snapshots.name} IN SHARE MODE"))
    if get(tx, snapshot_id) is not None:
        return False
    goes = insert(tx, counters).values(name=_going(snapshot_id), value=_minute(now))
    tx.execute(goes.on_conflict_do_update(index_elements=["name"], set_={"value": _minute(now)}))
    return True


def refuse_going(tx: Connection, snapshot_id: str, *, now: datetime) -> None:
    """Take back a fetch, once it is recorded, of bars whose file may have gone since it was saved.

    Raises:
        StoreUnavailable: it may; save the bars again in some minutes.
    """
    lately = counters.c.value >= _minute(now) - _GOING_MINUTES
    if tx.execute(select(counters.c.name).where(counters.c.name == _going(snapshot_id), lately)).first():
        detail = "A file of these very bars, which nothing had named for days, is being removed: come again in minutes."
        raise StoreUnavailable(detail, snapshot_id=snapshot_id)


def forget_gone(tx: Connection, *, now: datetime) -> None:
    """Forget which files went long ago."""
    ours = counters.c.name.startswith(_GOING, autoescape=True)
    tx.execute(counters.delete().where(ours, counters.c.value < _minute(now) - _GOING_MINUTES))


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


def _going(snapshot_id: str) -> str:
    return f"{_GOING}{snapshot_id.removeprefix('sha256:')[:26]}"  # a name of a counter has 32 characters


def _minute(now: datetime) -> int:
    return int(now.timestamp()) // 60
