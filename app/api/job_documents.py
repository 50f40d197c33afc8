"""Jobs as documents."""

from __future__ import annotations

from typing import Any

from app.api.schemas.jobs import JobOut
from app.domain.job import Job
from app.forecasting.document import utc


def job_document(job: Job, root_path: str, *, deduplicated: bool = False) -> dict[str, Any]:
    """Return ``job`` JSON-ready, its links for who reaches the service behind the prefix ``root_path``."""
    at = f"{root_path}/v1/jobs/{job.job_id}"
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
        "links": {"self": at, "events": f"{at}/events", "cancel": f"{at}/cancel"},
    }


def job_body(job: Job, root_path: str) -> bytes:
    """Return the bytes that `GET /v1/jobs/{job_id}` answers with."""
    return JobOut.model_validate(job_document(job, root_path)).model_dump_json(by_alias=True).encode()
