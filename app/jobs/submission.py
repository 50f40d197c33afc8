"""Handing in work: one active job per piece of work, one answer per idempotency key."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select, text

from app.db.tables import idempotency_keys, jobs
from app.db.upsert import insert
from app.domain.job import Job
from app.errors import Conflict, IdempotencyMismatch
from app.jobs.rows import ACTIVE, COLUMNS, to_job

KEY_LIFETIME = timedelta(hours=24)
_QUOTA_LOCKS = 0x6D6F  # the first half of the numbers of our locks: any that nobody else takes


def submit(  # noqa: PLR0913 - the fields of a job, by name
    tx: Connection,
    *,
    kind: str,
    ticker: str | None,
    payload: Mapping[str, Any],
    dedupe: str,
    priority: int = 0,
    max_attempts: int = 3,
    submitted_by: str = "anonymous",
    now: datetime,
) -> tuple[Job, bool]:
    """Queue a job, or return the active one of the same ``kind`` and ``dedupe`` and ``True``."""
    work = f"{kind} {dedupe}"  # to train an order and only to judge it are two pieces of work
    fresh = {
        "job_id": uuid.uuid4().hex,
        "kind": kind,
        "ticker": ticker,
        "state": "queued",
        "payload": dict(payload),
        "dedupe": work,
        "priority": priority,
        "attempt": 0,
        "max_attempts": max_attempts,
        "fence": 0,
        "run_after": now,
        "cancel_requested": False,
        "submitted_by": submitted_by,
        "created_at": now,
    }
    active = select(*COLUMNS).where(jobs.c.dedupe == work, ACTIVE)
    added = insert(tx, jobs).values(fresh).on_conflict_do_nothing().returning(*COLUMNS)
    # Another round only when the active job ended between the two statements.
    while True:
        if row := tx.execute(active).one_or_none():
            return to_job(row), True
        if row := tx.execute(added).one_or_none():
            return to_job(row), False


def active_of(tx: Connection, submitted_by: str) -> int:
    """Return how many jobs of one submitter wait or run; nobody else counts theirs until the transaction ends."""
    if tx.dialect.name == "postgresql":  # SQLite has one writer
        lock = text("SELECT pg_advisory_xact_lock(:ours, hashtext(:submitter))")
        tx.execute(lock, {"ours": _QUOTA_LOCKS, "submitter": submitted_by})
    active = select(func.count()).select_from(jobs).where(ACTIVE, jobs.c.submitted_by == submitted_by)
    return tx.execute(active).scalar_one()


def replay(tx: Connection, *, key: str, principal: str, fingerprint: str, now: datetime) -> dict[str, Any] | None:
    """Return what was answered under this key within 24 h, ``None`` when it is new.

    Raises:
        IdempotencyMismatch: the key came with another payload; send a new key.
    """
    table = idempotency_keys
    row = tx.execute(
        select(table.c.fingerprint, table.c.answer).where(
            table.c.principal == principal, table.c.key == key, table.c.created_at > now - KEY_LIFETIME
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise IdempotencyMismatch("This Idempotency-Key was used for another payload.", key=key)
    answer: dict[str, Any] = row.answer
    return answer


def remember(
    tx: Connection, *, key: str, principal: str, fingerprint: str, answer: Mapping[str, Any], now: datetime
) -> None:
    """Keep the answer under its key for 24 h; forget older keys.

    Raises:
        Conflict: a request with the same key was first; roll back and replay.
    """
    tx.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at <= now - KEY_LIFETIME))
    kept = {"principal": principal, "key": key, "fingerprint": fingerprint, "answer": dict(answer), "created_at": now}
    added = insert(tx, idempotency_keys).values(kept).on_conflict_do_nothing()
    if tx.execute(added.returning(idempotency_keys.c.key)).one_or_none() is None:
        raise Conflict("A request with this Idempotency-Key is under way.", key=key)
