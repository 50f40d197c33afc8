"""Jobs as clients see them."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from pydantic import Field

from app.api.documents import path_to
from app.api.schemas.common import Document, JobProblem, Json, Links, Moment
from app.api.schemas.models import BacktestOut
from app.api.schemas.search import SearchOut
from app.domain.job import Job
from app.forecasting.answer import utc


class JobLinks(Links):
    """Where the job is, and where it is cancelled."""

    cancel: str


class JobOut(Document):
    """A piece of background work: `queued -> running -> succeeded | failed | cancelled`."""

    job_id: str
    kind: str
    ticker: str | None
    state: str
    deduplicated: bool = Field(description="Whether an active job for the same work was there already.")
    priority: int
    progress: Json | None = Field(
        description="`stage`, `fraction` of it, and what the stage tells. In `paths` a network that is fed back "
        "simulates: how long that takes is not known, and `fraction` stays 0."
    )
    attempt: int
    max_attempts: int
    cancel_requested: bool
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    error: JobProblem | None
    result: SearchOut | BacktestOut | Json | None = Field(
        description="For `train`: `version`, `promoted`, `reasons`, `url`; of a universe `versions`, one a ticker. "
        "For `tune`: a `SearchOut`. For `backtest`: a `BacktestOut`."
    )
    submitted_by: str
    links: JobLinks


class JobsOut(Document):
    """A page of jobs, newest first."""

    items: list[JobOut]


def job_document(job: Job, request: Request, *, deduplicated: bool = False) -> dict[str, Any]:
    """Return ``job`` JSON-ready."""
    at = path_to(request, f"/v1/jobs/{job.job_id}")
    return {
        "job_id": job.job_id,
        "kind": job.kind,
        "ticker": job.ticker,
        "state": job.state,
        "deduplicated": deduplicated,
        "priority": job.priority,
        "progress": job.progress,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "cancel_requested": job.cancel_requested,
        "created_at": utc(job.created_at),
        "started_at": utc(job.started_at) if job.started_at else None,
        "finished_at": utc(job.finished_at) if job.finished_at else None,
        "error": job.error,
        "result": job.result,
        "submitted_by": job.submitted_by,
        "links": {"self": at, "cancel": f"{at}/cancel"},
    }
