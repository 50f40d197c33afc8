"""Refreshes that nobody has to ask for: the tickers whose next bar should be there by now."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.domain.job import Job
from app.jobs import queries, submission
from app.registry import tickers

_DEDUPE = "due"
_SUBMITTER = "schedule"
_LOOK_BACK_JOBS = 50  # more scheduled refreshes than fit into one retry interval


def submit_due_refresh(tx: Connection, *, retry_seconds: float, max_attempts: int, now: datetime) -> Job | None:
    """Submit one refresh for all tickers that are due, unless one is active; return the new job, if any.

    A ticker waits when a scheduled refresh has named it within ``retry_seconds`` and did not succeed: it left
    its tickers due, and must not be tried again every few seconds. After one that succeeded there is a new reason.
    """
    due = tickers.due(tx, now=now)
    if not due:
        return None
    asked = _asked_in_vain_since(tx, now - timedelta(seconds=retry_seconds))
    wanted = sorted(set(due) - asked)
    if not wanted:
        return None
    job, deduplicated = submission.submit(
        tx,
        kind="refresh",
        ticker=None,
        payload={"tickers": wanted},
        dedupe=_DEDUPE,
        max_attempts=max_attempts,
        submitted_by=_SUBMITTER,
        now=now,
    )
    return None if deduplicated else job


def _asked_in_vain_since(tx: Connection, moment: datetime) -> set[str]:
    recent = queries.list_jobs(tx, kind="refresh", before=None, limit=_LOOK_BACK_JOBS)
    scheduled = [job for job in recent if job.created_at > moment and job.submitted_by == _SUBMITTER]
    in_vain = [job for job in scheduled if job.state != "succeeded"]
    return {ticker for job in in_vain for ticker in job.payload.get("tickers") or ()}
