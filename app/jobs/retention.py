"""Letting go of jobs that have been over for long, and of what was answered to idempotency keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select

from app.db.tables import idempotency_keys, jobs
from app.domain.job import FINAL_STATES
from app.jobs.rows import ACTIVE
from app.jobs.submission import KEY_LIFETIME


def ended_before(tx: Connection, moment: datetime) -> int:
    """Return how many jobs were over before ``moment``."""
    return tx.execute(select(func.count()).select_from(jobs).where(_over(moment))).scalar_one()


def forget_ended(tx: Connection, moment: datetime, *, limit: int) -> int:
    """Forget jobs that were over before ``moment``, the oldest first; return how many, at most ``limit``."""
    oldest = select(jobs.c.job_id).where(_over(moment)).order_by(jobs.c.finished_at).limit(limit)
    return tx.execute(delete(jobs).where(jobs.c.job_id.in_(oldest))).rowcount


def expired_keys(tx: Connection, now: datetime) -> int:
    """Return how many idempotency keys are past their day."""
    return tx.execute(select(func.count()).select_from(idempotency_keys).where(_past(now))).scalar_one()


def forget_expired_keys(tx: Connection, now: datetime) -> int:
    """Forget the idempotency keys that are past their day; return how many."""
    return tx.execute(delete(idempotency_keys).where(_past(now))).rowcount


def snapshots_in_use(tx: Connection) -> set[str]:
    """Return the snapshots that the checkpoints of jobs that wait or run go on from."""
    kept = tx.execute(select(jobs.c.checkpoint).where(ACTIVE, jobs.c.checkpoint.is_not(None))).scalars()
    return {name for checkpoint in kept for name in _ids(checkpoint)}


def _over(moment: datetime) -> ColumnElement[bool]:
    return and_(jobs.c.finished_at < moment, jobs.c.state.in_(FINAL_STATES))


def _past(now: datetime) -> ColumnElement[bool]:
    return idempotency_keys.c.created_at <= now - KEY_LIFETIME


def _ids(value: Any) -> set[str]:
    """Every snapshot's id anywhere in a checkpoint: a kind of job shapes its own."""
    if isinstance(value, dict):
        return {name for item in value.values() for name in _ids(item)}
    if isinstance(value, list):
        return {name for item in value for name in _ids(item)}
    return {value} if isinstance(value, str) and value.startswith("sha256:") else set()
