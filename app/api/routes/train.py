"""Handing in training."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Request, Response

from app.api.dependencies import IdempotencyKey, TheCaller, TheServices
from app.api.problems import body_problems
from app.api.routes import router_of
from app.api.schemas.jobs import JobOut, JobsOut
from app.api.schemas.orders import TrainIn, TrainMany, TrainOne, TrainPool
from app.api.submission import Once, answered_before, once, queue
from app.api.training_orders import orders_of
from app.forecasting.services import Services

router = router_of("training")

JOB_HEADERS: dict[str, Any] = {
    "Location": {"description": "The job; absent when there are several.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until a first look pays.", "schema": {"type": "integer"}},
}
ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"headers": JOB_HEADERS}}


@router.post(
    "/v1/train",
    status_code=202,
    response_model=JobOut | JobsOut,
    responses={**ACCEPTED, **body_problems(404, 409)},
    summary="Train a ticker, or several, or one network on many",
)
def train(
    body: Annotated[TrainIn, Body()],
    services: TheServices,
    caller: TheCaller,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Queue one job a ticker; the same work already queued or running is answered with that job.

    With the preset `pooled` a `universe` is one job: one network, and one version a ticker. A `ticker` without one
    adopts the newest of these networks as it is, judged by what it had not seen.
    """
    marker = once(idempotency_key, caller, "train", body.model_dump(mode="json", exclude_unset=True))
    answer = answered_before(marker, services=services) or _hand_in(body, marker, services=services, request=request)
    announce(response, answer)
    return answer


def announce(response: Response, answer: dict[str, Any]) -> None:
    """Add where the job is and when to look."""
    response.headers["Retry-After"] = "1"
    if "links" in answer:
        response.headers["Location"] = answer["links"]["self"]


def _hand_in(
    body: TrainOne | TrainMany | TrainPool, marker: Once | None, *, services: Services, request: Request
) -> dict[str, Any]:
    is_list = isinstance(body, TrainMany)
    return queue(
        orders_of(body, services=services),
        kind="train",
        is_list=is_list,
        priority=body.priority,
        marker=marker,
        services=services,
        request=request,
    )
