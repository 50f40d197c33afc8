"""Looking at jobs without touching them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, literal, or_, select, tuple_

from app.db.column_types import UtcDateTime
from app.db.tables import jobs
from app.domain.job import ACTIVE_STATES, FINAL_STATES, Job
from app.errors import NoSuchJob
from app.jobs.rows import ACTIVE, COLUMNS, QUEUED, may_run, to_job

Mark = tuple[Any, ...]
_IDS_AT_ONCE = 500


def get(tx: Connection, job_id: str) -> Job:
    """Return the job.

    Raises:
        NoSuchJob: no job has this id.
    """
    row = tx.execute(select(*COLUMNS).where(jobs.c.job_id == job_id)).one_or_none()
    if row is None:
        raise NoSuchJob(f"There is no job {job_id!r}.", job_id=job_id)
    return to_job(row)


def get_many(tx: Connection, job_ids: Collection[str]) -> list[Job]:
    """Return those of the jobs that there are, in no particular order."""
    ids, found = list(job_ids), []
    for start in range(0, len(ids), _IDS_AT_ONCE):
        wanted = jobs.c.job_id.in_(ids[start : start + _IDS_AT_ONCE])
        found += [to_job(row) for row in tx.execute(select(*COLUMNS).where(wanted))]
    return found


def active_marks(tx: Connection) -> dict[str, Mark]:
    """Return, by id, what tells whether a job that waits or runs has changed: equal marks, equal jobs."""
    marks = (jobs.c.state, jobs.c.attempt, jobs.c.fence, jobs.c.cancel_requested, jobs.c.progress)
    return {job_id: tuple(mark) for job_id, *mark in tx.execute(select(jobs.c.job_id, *marks).where(ACTIVE))}


def ended_since(tx: Connection, moment: datetime, *, limit: int | None = None) -> list[str]:
    """Return the ids of the jobs that ended at ``moment`` or later, the last one first."""
    ended = select(jobs.c.job_id).where(jobs.c.finished_at >= moment).order_by(jobs.c.finished_at.desc())
    return list(tx.execute(ended.limit(limit)).scalars())


def is_waiting(tx: Connection, kinds: Sequence[str], *, now: datetime) -> bool:
    """Return whether a job of one of ``kinds`` could be claimed."""
    waiting = select(jobs.c.job_id).where(may_run(now), jobs.c.kind.in_(kinds))
    return tx.execute(waiting.limit(1)).one_or_none() is not None


def is_due(tx: Connection, job_id: str, *, now: datetime) -> bool:
    """Return whether the job waits and could be claimed."""
    due = select(jobs.c.job_id).where(may_run(now), jobs.c.job_id == job_id)
    return tx.execute(due).one_or_none() is not None


def count_due(tx: Connection, *, now: datetime) -> dict[str, int]:
    """Return how many jobs of each kind could be claimed."""
    counted = select(jobs.c.kind, func.count().label("jobs")).where(may_run(now)).group_by(jobs.c.kind)
    return {row.kind: row.jobs for row in tx.execute(counted)}


def list_due(tx: Connection, kinds: Collection[str], *, now: datetime, limit: int) -> list[Job]:
    """Return the jobs of ``kinds`` that could be claimed, the most urgent first, then the oldest."""
    due = select(*COLUMNS).where(may_run(now), jobs.c.kind.in_(kinds))
    by_urgency = due.order_by(jobs.c.priority.desc(), jobs.c.created_at, jobs.c.job_id)
    return [to_job(row) for row in tx.execute(by_urgency.limit(limit))]


def list_jobs(
    tx: Connection,
    *,
    state: str | None = None,
    kind: str | None = None,
    ticker: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> list[Job]:
    """Return jobs, newest first; ``before`` is ``(created_at, job_id)`` of the last one seen."""
    wanted = {"state": state, "kind": kind, "ticker": ticker}
    page = select(*COLUMNS).where(*(jobs.c[name] == value for name, value in wanted.items() if value is not None))
    if before is not None:
        seen = tuple_(literal(before[0], UtcDateTime), literal(before[1]))
        page = page.where(tuple_(jobs.c.created_at, jobs.c.job_id) < seen)
    newest_first = page.order_by(jobs.c.created_at.desc(), jobs.c.job_id.desc())
    return [to_job(row) for row in tx.execute(newest_first.limit(limit))]


def active_on(tx: Connection, ticker: str) -> list[str]:
    """Return the ids of the jobs that wait or run for the ticker, alone or with others, oldest first."""
    own = or_(jobs.c.ticker == ticker, and_(jobs.c.ticker.is_(None), jobs.c.kind == "train"))
    active = select(jobs.c.job_id, jobs.c.ticker, jobs.c.payload).where(own, ACTIVE)
    rows = tx.execute(active.order_by(jobs.c.created_at, jobs.c.job_id))
    return [row.job_id for row in rows if row.ticker or ticker in row.payload["universe"]]


def queue_stats(tx: Connection, now: datetime) -> dict[str, Any]:
    """Return the number of jobs by state, zeros included, and ``oldest_queued_seconds`` (0.0 when none waits)."""
    counts: dict[str, Any] = dict.fromkeys((*ACTIVE_STATES, *FINAL_STATES), 0)
    for state, count in tx.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)):
        counts[state] = count
    oldest = tx.execute(select(func.min(jobs.c.created_at)).where(QUEUED)).scalar()
    return {**counts, "oldest_queued_seconds": (now - oldest).total_seconds() if oldest else 0.0}
