"""Which workers are alive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from app.db.tables import workers
from app.db.upsert import insert

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker process and when it was last heard of; times in UTC."""

    worker_id: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime


def beat(tx: Connection, worker_id: str, *, host: str, pid: int, now: datetime) -> None:
    """Say that the worker is alive; forget those that died a day ago without a word."""
    forget_silent(tx, now - FORGOTTEN_AFTER)
    row = {"worker_id": worker_id, "host": host, "pid": pid, "started_at": now, "seen_at": now}
    seen = insert(tx, workers).values(row)
    tx.execute(seen.on_conflict_do_update(index_elements=["worker_id"], set_={"seen_at": now}))


def alive(tx: Connection, *, now: datetime, within_seconds: float) -> list[Worker]:
    """Return the workers heard of within the last ``within_seconds``, by id."""
    recent = select(workers).where(workers.c.seen_at >= now - timedelta(seconds=within_seconds))
    return [Worker(**row._mapping) for row in tx.execute(recent.order_by(workers.c.worker_id))]


def forget(tx: Connection, worker_id: str) -> None:
    """Take a worker off the list when it has stopped."""
    tx.execute(delete(workers).where(workers.c.worker_id == worker_id))


def forget_all(tx: Connection) -> None:
    """Take all workers off the list."""
    tx.execute(delete(workers))


def silent_since(tx: Connection, moment: datetime) -> int:
    """Return how many workers were last heard of before ``moment``."""
    silent = select(func.count()).select_from(workers).where(workers.c.seen_at < moment)
    return tx.execute(silent).scalar_one()


def forget_silent(tx: Connection, moment: datetime) -> int:
    """Take the workers off the list that were last heard of before ``moment``; return how many."""
    return tx.execute(delete(workers).where(workers.c.seen_at < moment)).rowcount
