"""New bars and new forecasts for everything that is served."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from sqlalchemy import Connection

from app.api.dependencies import IdempotencyKey, TheCaller, TheServices
from app.api.documents import root_path_of
from app.api.job_documents import job_document
from app.api.problems import body_problems
from app.api.routes import router_of
from app.api.routes.train import ACCEPTED, announce
from app.api.schemas.jobs import JobOut
from app.api.schemas.orders import RefreshIn
from app.api.submission import Queued, answer_once, once, refuse_beyond_quota, submit_refresh

router = router_of("operations")


@router.post(
    "/v1/refresh",
    status_code=202,
    response_model=JobOut,
    responses={**ACCEPTED, **body_problems(409)},
    summary="Fetch new bars and issue new forecasts",
)
def refresh(
    services: TheServices,
    caller: TheCaller,
    request: Request,
    response: Response,
    body: RefreshIn | None = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Queue one job for all tickers; a refresh already queued or running is answered with that job.

    Its result names the `edition` under which what is answered has changed, by new forecasts or by a challenger that
    became champion; null when nothing has.
    """

    def work(tx: Connection) -> Queued:
        job, deduplicated = submit_refresh(tx, submitted_by=caller.name, services=services)
        refuse_beyond_quota(tx, caller, services=services)
        answer = job_document(job, root_path_of(request), deduplicated=deduplicated)
        return answer, [] if deduplicated else [job]

    answer, fresh = answer_once(once(idempotency_key, caller, "refresh"), work, services=services)
    services.delivery.send(fresh)
    announce(response, answer)
    return answer
