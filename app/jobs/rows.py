"""Between a row of ``jobs`` and a ``Job``."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, literal, or_

from app.db.tables import jobs
from app.domain.job import ACTIVE_STATES, Job
from app.jobs.retry import LONGEST_WAIT

COLUMNS = tuple(jobs.c[field.name] for field in fields(Job))

# Written into the statement, not bound: only so does the planner see that a partial index fits.
QUEUED = jobs.c.state == literal("queued", literal_execute=True)
RUNNING = jobs.c.state == literal("running", literal_execute=True)
ACTIVE = jobs.c.state.in_([literal(state, literal_execute=True) for state in ACTIVE_STATES])


def may_run(now: datetime) -> ColumnElement[bool]:
    """Queued jobs whose wait is over; one longer than any wait was written before the clock was set back."""
    return and_(QUEUED, or_(jobs.c.run_after <= now, jobs.c.run_after > now + LONGEST_WAIT))


def to_job(row: Row[Any]) -> Job:
    """Build a job from a row of ``COLUMNS``."""
    return Job(**row._mapping)
