"""Looking at jobs, and stopping them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import AfterValidator

from app.api.audited import audited
from app.api.dependencies import DEFAULT_SIZE, JobPath, PageSize, PageToken, TheHotAnswers, TheServices
from app.api.documents import root_path_of
from app.api.job_documents import job_document
from app.api.pagination import BY_TIME, listed, page_of, position_of
from app.api.problems import problems
from app.api.routes import router_of
from app.api.schemas.common import TICKER_PATTERN
from app.api.schemas.jobs import JobOut, JobsOut
from app.domain.job import Job
from app.jobs import queries
from app.jobs.leases import request_cancel
from app.registry import audit, editions

router = router_of("jobs")
_LIST = "jobs"

StateFilter = Annotated[Literal["queued", "running", "succeeded", "failed", "cancelled"] | None, Query()]
KindFilter = Annotated[Literal["train", "backtest", "tune", "refresh"] | None, Query()]
TickerFilter = Annotated[
    Annotated[str, Query(pattern=f"^{TICKER_PATTERN}$"), AfterValidator(str.upper)] | None, Query()
]


@router.get("/v1/jobs", response_model=JobsOut, responses=problems(400, 422), summary="Jobs, newest first")
def list_jobs(
    services: TheServices,
    hot: TheHotAnswers,
    request: Request,
    state: StateFilter = None,
    kind: KindFilter = None,
    ticker: TickerFilter = None,
    page_size: PageSize = DEFAULT_SIZE,
    page_token: PageToken = None,
) -> dict[str, Any]:
    """List jobs, filtered by state, kind and ticker; forecasts of this process know what those that are over did."""
    before = None
    if page_token is not None:
        before = position_of(_LIST, page_token, BY_TIME)
    with services.database.read() as tx:
        rows = queries.list_jobs(tx, state=state, kind=kind, ticker=ticker, before=before, limit=page_size + 1)
        edition = editions.current(tx)
    hot.saw(edition)
    page, token = page_of(rows, size=page_size, list_name=_LIST, position=_position)
    return listed([job_document(job, root_path_of(request)) for job in page], token)


@router.get("/v1/jobs/{job_id}", response_model=JobOut, responses=problems(404, 422), summary="A job")
def get_job(job_id: JobPath, services: TheServices, hot: TheHotAnswers, request: Request) -> dict[str, Any]:
    """Show a job; once it is shown as over, forecasts of this process know what it did."""
    with services.database.read() as tx:
        job = queries.get(tx, job_id)
        edition = editions.current(tx)
    if job.is_over:
        hot.saw(edition)
    return job_document(job, root_path_of(request))


@router.post(
    "/v1/jobs/{job_id}/cancel",
    status_code=202,
    response_model=JobOut,
    responses=problems(404, 409, 422),
    summary="Cancel a job",
)
def cancel(job_id: JobPath, services: TheServices, request: Request) -> dict[str, Any]:
    """Cancel a queued job at once, ask the worker of a running one to stop."""
    with audited(request, services, audit.JOB_CANCELLED, job_id) as (tx, facts):
        job = request_cancel(tx, job_id, now=services.now(tx))
        facts |= {"kind": job.kind, "ticker": job.ticker, "submitted_by": job.submitted_by}
    return job_document(job, root_path_of(request))


def _position(job: Job) -> tuple[str, str]:
    return job.created_at.isoformat(), job.job_id
