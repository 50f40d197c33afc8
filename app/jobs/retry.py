"""How long a job waits before its next attempt: pure arithmetic."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

FIRST_SECONDS = 15.0
LONGEST_SECONDS = 600.0
SPREAD = 0.2
LONGEST_WAIT = timedelta(minutes=20)  # more than any backoff, and than a source is left alone for by default


def next_attempt_at(job_id: str, attempt: int, *, now: datetime) -> datetime:
    """Return when a job may run again after its ``attempt``-th claim failed (1 is the first)."""
    return now + timedelta(seconds=backoff_seconds(attempt) * jitter(job_id, attempt))


def backoff_seconds(attempt: int) -> float:
    """Return the wait after the ``attempt``-th claim, in seconds: 30, 60, 120 … and never above 600."""
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0**attempt)


def jitter(job_id: str, attempt: int) -> float:
    """Return a factor in 0.8..1.2, fixed per job and attempt: jobs that failed together come back apart."""
    digest = hashlib.sha256(f"{job_id}/{attempt}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return 1 - SPREAD + 2 * SPREAD * share
