"""A job: one durable row that is the only truth about a piece of background work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

ACTIVE_STATES = ("queued", "running")
FINAL_STATES = ("succeeded", "failed", "cancelled")
KINDS = ("train", "backtest", "tune", "refresh")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it stands: ``queued -> running -> succeeded | failed | cancelled``.

    ``attempt`` counts claims. ``fence`` grows with every claim: whoever writes with an old one has
    lost the lease. ``progress``, ``result`` and ``error`` (a problem object) are JSON. Times in UTC.
    """

    job_id: str
    kind: str
    ticker: str | None
    state: str
    payload: Mapping[str, Any]
    priority: int
    attempt: int
    max_attempts: int
    fence: int
    cancel_requested: bool
    progress: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    submitted_by: str = "anonymous"

    @property
    def is_over(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL_STATES

    @property
    def fell_before(self) -> bool:
        """Whether an attempt before the present one, or the next one, came to nothing."""
        return self.attempt > (self.state == "running")
