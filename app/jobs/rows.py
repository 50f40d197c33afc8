"""Between a row of ``jobs`` and a ``Job``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Row, literal

from app.db.tables import jobs
from app.domain.job import ACTIVE_STATES, Job

COLUMNS = tuple(jobs.c[field.name] for field in fields(Job))

# Written into the statement, not bound: only so does the planner see that a partial index fits.
QUEUED = jobs.c.state == literal("queued", literal_execute=True)
RUNNING = jobs.c.state == literal("running", literal_execute=True)
ACTIVE = jobs.c.state.in_([literal(state, literal_execute=True) for state in ACTIVE_STATES])


def to_job(row: Row[Any]) -> Job:
    """Build a job from a row of ``COLUMNS``."""
    return Job(**row._mapping)
