"""Who works on what: a job belongs to whoever holds its lease and its newest fence.

Every write of a running job names the fence it was claimed with; no row changed means that the
lease was lost, and that the caller must stop and publish nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, and_, false, func, or_, select, true, update
from sqlalchemy.sql.dml import ReturningUpdate

from app.db import counting
from app.db.json_ready import json_ready
from app.db.tables import jobs
from app.domain.batch import LARGEST_BATCH, shape_of
from app.domain.job import Job
from app.errors import AppError, CorruptArtifact, JobAlreadyOver, WorkerLost
from app.jobs.queries import get
from app.jobs.retry import LONGEST_WAIT, next_attempt_at
from app.jobs.rows import COLUMNS, QUEUED, RUNNING, may_run, to_job
from app.jobs.silence import Lease, Silence

_BY_URGENCY = (jobs.c.priority.desc(), jobs.c.created_at, jobs.c.job_id)
_NO_LEASE = {"lease_owner": None, "lease_until": None}
_DONE = {"stage": "done", "fraction": 1.0}


def claim(tx: Connection, *, owner: str, lease_seconds: float, now: datetime, only: str | None = None) -> Job | None:
    """Lease the most urgent job that may run, then the oldest; ``None`` when there is none.

    ``only`` is the id of the one job to be had.
    """
    wanted = jobs.c.job_id == only if only else true()
    most_urgent = (
        select(jobs.c.job_id)
        .where(may_run(now), wanted)
        .order_by(*_BY_URGENCY)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    claimed = _lease(jobs.c.job_id == most_urgent, owner=owner, lease_seconds=lease_seconds, now=now)
    row = tx.execute(claimed).one_or_none()
    return to_job(row) if row else None


def claim_alike(
    tx: Connection, first: Job, *, owner: str, lease_seconds: float, idle_workers: int, now: datetime
) -> list[Job]:
    """Lease more jobs that may share a process with ``first``, of its urgency, oldest first.

    No more than leaves each of ``idle_workers``, this one among them, its part of the queue. Each has a lease and a
    fence of its own.
    """
    shape, free_now = shape_of(first), may_run(now)
    if shape is None:
        return []
    counted = select(jobs.c.job_id).where(free_now).limit(LARGEST_BATCH * idle_workers).subquery()
    queued = tx.execute(select(func.count()).select_from(counted)).scalar_one()
    share = min(LARGEST_BATCH, ceil((1 + queued) / idle_workers)) - 1
    next_ones = select(*COLUMNS).where(free_now, jobs.c.priority == first.priority).order_by(*_BY_URGENCY)
    found = [to_job(row) for row in tx.execute(next_ones.limit(LARGEST_BATCH))]
    alike = [job.job_id for job in found if shape_of(job) == shape][:share]
    if not alike:
        return []
    free = select(jobs.c.job_id).where(jobs.c.job_id.in_(alike), free_now).with_for_update(skip_locked=True)
    claimed = _lease(jobs.c.job_id.in_(free), owner=owner, lease_seconds=lease_seconds, now=now)
    return sorted(map(to_job, tx.execute(claimed)), key=lambda job: alike.index(job.job_id))


def busy_workers(tx: Connection) -> set[str]:
    """Return the ids of the workers that hold jobs."""
    return set(tx.execute(select(jobs.c.lease_owner).where(RUNNING).distinct()).scalars())


def _lease(which: ColumnElement[bool], *, owner: str, lease_seconds: float, now: datetime) -> ReturningUpdate[Any]:
    """The update that takes the jobs over, under a new fence each."""
    return (
        update(jobs)
        .where(which)
        .values(
            state="running",
            attempt=jobs.c.attempt + 1,
            fence=jobs.c.fence + 1,
            lease_owner=owner,
            lease_until=now + timedelta(seconds=lease_seconds),
            started_at=now,
            progress=None,
        )
        .returning(*COLUMNS)
    )


def heartbeat(tx: Connection, job_id: str, fence: int, *, lease_seconds: float, now: datetime) -> bool | None:
    """Extend the lease: ``None`` it is lost, stop; ``True`` somebody asked to cancel; ``False`` go on."""
    extended = _held(job_id, fence).values(lease_until=now + timedelta(seconds=lease_seconds))
    cancel: bool | None = tx.execute(extended.returning(jobs.c.cancel_requested)).scalar_one_or_none()
    return cancel


def report(tx: Connection, job_id: str, fence: int, progress: Mapping[str, Any]) -> bool:
    """Write the progress; ``False`` when the lease is lost."""
    return tx.execute(_held(job_id, fence).values(progress=json_ready(progress))).rowcount == 1


def keep_checkpoint(tx: Connection, job_id: str, fence: int, checkpoint: Mapping[str, Any]) -> bool:
    """Keep what the next attempt goes on from, should this one be lost; ``False`` when the lease is lost."""
    return tx.execute(_held(job_id, fence).values(checkpoint=json_ready(checkpoint))).rowcount == 1


def checkpoint_of(tx: Connection, job_id: str) -> dict[str, Any] | None:
    """Return what an attempt before kept, ``None`` when there is nothing to go on from."""
    kept: dict[str, Any] | None = tx.execute(select(jobs.c.checkpoint).where(jobs.c.job_id == job_id)).scalar()
    return kept


def succeed(tx: Connection, job_id: str, fence: int, result: Mapping[str, Any], *, now: datetime) -> bool:
    """End the job with its result; ``False`` when the lease is lost: roll back what was written beside it."""
    values = {**_ended("succeeded", now), "result": json_ready(result), "error": None, "progress": _DONE}
    return tx.execute(_held(job_id, fence).values(values)).rowcount == 1


def fail(tx: Connection, job_id: str, fence: int, error: AppError, *, now: datetime) -> str | None:
    """Record a failure and return the new state, ``None`` when the lease is lost.

    ``queued`` again when the error is retryable and attempts are left, ``cancelled`` when somebody
    asked for that meanwhile, else ``failed``.
    """
    row = tx.execute(select(*COLUMNS).where(*_is_held(job_id, fence)).with_for_update()).one_or_none()
    if row is None:
        return None
    values = _after_failure(to_job(row), error, now)
    tx.execute(_held(job_id, fence).values(values))
    if isinstance(error, CorruptArtifact):
        counting.add(tx, counting.CORRUPT_ARTIFACTS)
    return str(values["state"])


def cancelled(tx: Connection, job_id: str, fence: int, *, now: datetime) -> bool:
    """End the job as cancelled: its worker has stopped, or can write nothing more; ``False``: the lease is lost."""
    return tx.execute(_held(job_id, fence).values(_ended("cancelled", now))).rowcount == 1


def release(tx: Connection, job_id: str, fence: int, *, now: datetime) -> bool:
    """Give the job back at a graceful stop: it may run at once, and the attempt does not count.

    A job that somebody asked to cancel is cancelled instead. ``False`` when the lease is lost.
    """
    stop = _held(job_id, fence).where(jobs.c.cancel_requested)
    if tx.execute(stop.values(_ended("cancelled", now))).rowcount == 1:
        return True
    values = {**_queued(now), "attempt": jobs.c.attempt - 1}
    return tx.execute(_held(job_id, fence).values(values)).rowcount == 1


def reap(tx: Connection, *, now: datetime, silence: Silence | None = None) -> list[str]:
    """Take the jobs of silent workers away from them and return their ids.

    Each runs again, from the second time on after a wait; it is cancelled if that was asked for, and
    failed with the code ``lease_expired`` when its attempts are used up. ``silence`` is what the caller saw when it
    last looked: without it the wall clock alone decides, and a jump of it costs every job an attempt.
    """
    is_over = jobs.c.lease_until < now if silence is None else _is_silent(tx, silence, now)
    expired = select(*COLUMNS).where(RUNNING, is_over).order_by(jobs.c.lease_until)
    found = [to_job(row) for row in tx.execute(expired.with_for_update(skip_locked=True))]
    for job in found:
        values = _after_failure(job, WorkerLost("The worker fell silent.", attempt=job.attempt), now)
        if values["state"] == "failed":
            values["error"]["code"] = "lease_expired"
        tx.execute(_held(job.job_id, job.fence).values(values))
    if found:
        counting.add(tx, counting.LEASE_EXPIRIES, len(found))
    return [job.job_id for job in found]


def _is_silent(tx: Connection, silence: Silence, now: datetime) -> ColumnElement[bool]:
    """The jobs whose leases nobody renews; one that is renewed meanwhile is none of them."""
    running = select(jobs.c.job_id, jobs.c.fence, jobs.c.lease_until).where(RUNNING)
    found = silence.among([Lease(*row) for row in tx.execute(running)], now=now)
    return or_(false(), *(and_(jobs.c.job_id == one.job_id, jobs.c.lease_until == one.until) for one in found))


def request_cancel(tx: Connection, job_id: str, *, now: datetime) -> Job:
    """Cancel a queued job at once, ask the worker of a running one to stop; return the job as it then is.

    Raises:
        NoSuchJob: no job has this id.
        JobAlreadyOver: the job has ended; there is nothing to cancel.
    """
    ours = update(jobs).where(jobs.c.job_id == job_id)
    at_once = ours.where(QUEUED).values({**_ended("cancelled", now), "cancel_requested": True})
    flagged = ours.where(RUNNING).values(cancel_requested=True)
    # Twice: between two statements a worker may claim a queued job, or give a running one back.
    for statement in (at_once, flagged, at_once, flagged):
        if row := tx.execute(statement.returning(*COLUMNS)).one_or_none():
            return to_job(row)
    job = get(tx, job_id)
    raise JobAlreadyOver(f"The job is over: {job.state}.", job_id=job_id, state=job.state)


def _is_held(job_id: str, fence: int) -> tuple[ColumnElement[bool], ...]:
    return jobs.c.job_id == job_id, jobs.c.fence == fence, RUNNING


def _held(job_id: str, fence: int) -> Update:
    """The update that only the holder of the newest fence can make."""
    return update(jobs).where(*_is_held(job_id, fence))


def _after_failure(job: Job, error: AppError, now: datetime) -> dict[str, Any]:
    """The columns of a running job whose attempt came to nothing."""
    if job.cancel_requested:
        return _ended("cancelled", now)
    problem = json_ready(error.to_problem())
    if error.retryable and job.attempt < job.max_attempts:
        # A worker that dies says nothing of the job, the first time: nobody should wait for that.
        at_once = isinstance(error, WorkerLost) and job.attempt == 1
        run_after = now if at_once else max(next_attempt_at(job.job_id, job.attempt, now=now), _told(error, now))
        return {**_queued(run_after), "error": problem}
    return {**_ended("failed", now), "error": problem}


def _told(error: AppError, now: datetime) -> datetime:
    """Return the moment that the error asks to wait for."""
    seconds = float(error.facts.get("retry_after_seconds", 0))
    return now + timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))


def _queued(run_after: datetime) -> dict[str, Any]:
    return {"state": "queued", "run_after": run_after, "started_at": None, "progress": None, **_NO_LEASE}


def _ended(state: str, now: datetime) -> dict[str, Any]:
    return {"state": state, "finished_at": now, "checkpoint": None, **_NO_LEASE}
