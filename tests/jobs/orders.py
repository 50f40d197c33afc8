"""Jobs to play with: a fixed start, a way to hand one in and a way to take it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from app.domain.job import Job
from app.jobs.leases import claim
from app.jobs.submission import submit

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """The moment ``seconds`` after noon."""
    return NOON + timedelta(seconds=seconds)


def queue(tx: Connection, dedupe: str = "work", *, now: datetime = NOON, ticker: str = "AAPL", **options) -> Job:
    """Hand in a training of AAPL."""
    job, deduplicated = submit(
        tx, kind=options.pop("kind", "train"), ticker=ticker, payload={"of": dedupe}, dedupe=dedupe, now=now, **options
    )
    assert not deduplicated
    return job


def take(tx: Connection, *, now: datetime = NOON, lease_seconds: float = 30, owner: str = "worker") -> Job:
    """Claim the next job, which must exist."""
    job = claim(tx, owner=owner, lease_seconds=lease_seconds, now=now)
    assert job is not None
    return job
