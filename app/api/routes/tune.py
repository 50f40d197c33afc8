"""Handing in a search for a better network."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from sqlalchemy import Connection

from app.api.dependencies import ANONYMOUS, IdempotencyKey, TheServices
from app.api.problems import body_problems
from app.api.routes.train import ACCEPTED, announce
from app.api.schemas.jobs import JobOut, JobsOut, job_document
from app.api.schemas.search import TuneIn, TuneMany, TuneOne
from app.api.searches import refuse_searches_early, search_of
from app.api.submission import Once, answer_once, answered_before, once
from app.domain.search import TuningOrder
from app.forecasting.services import Services
from app.jobs.submission import submit

router = APIRouter(tags=["training"])


@router.post(
    "/v1/tune",
    status_code=202,
    response_model=JobOut | JobsOut,
    responses={**ACCEPTED, **body_problems(404, 409)},
    summary="Search the best spec for a ticker, or for several",
)
def tune(
    body: Annotated[TuneIn, Body()],
    services: TheServices,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Queue one job a ticker; its result is a `SearchOut`: a leaderboard and a body for `POST /v1/train`.

    Trials are compared on the newest part of what the evaluation leaves to training; no test session is looked at.
    """
    marker = once(idempotency_key, "tune", body.model_dump(mode="json", exclude_unset=True))
    answer = answered_before(marker, services=services) or _hand_in(body, marker, services=services, request=request)
    announce(response, answer)
    return answer


def _hand_in(body: TuneOne | TuneMany, marker: Once | None, *, services: Services, request: Request) -> dict[str, Any]:
    is_list = isinstance(body, TuneMany)
    tickers = body.tickers if isinstance(body, TuneMany) else [body.ticker]
    orders = [search_of(body, ticker, services=services) for ticker in tickers]
    refuse_searches_early(orders, services=services, is_list=is_list)

    def work(tx: Connection) -> dict[str, Any]:
        # In one order for all, so that two lists never wait for each other's rows.
        in_order = sorted(orders, key=lambda order: order.order.ticker)
        jobs = {o.order.ticker: _submit(tx, o, body.priority, services=services, request=request) for o in in_order}
        return {"items": [jobs[ticker] for ticker in tickers]} if is_list else jobs[tickers[0]]

    return answer_once(marker, work, services=services)


def _submit(
    tx: Connection, order: TuningOrder, priority: int, *, services: Services, request: Request
) -> dict[str, Any]:
    job, deduplicated = submit(
        tx,
        kind="tune",
        ticker=order.order.ticker,
        payload=order.to_dict(),
        dedupe=order.dedupe_key,
        priority=priority,
        max_attempts=services.settings.max_attempts,
        submitted_by=ANONYMOUS,
        now=services.clock(),
    )
    return job_document(job, request, deduplicated=deduplicated)
