"""Handing in a search for a better network."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Request, Response

from app.api.dependencies import IdempotencyKey, TheCaller, TheServices
from app.api.problems import body_problems
from app.api.routes import router_of
from app.api.routes.train import ACCEPTED, announce
from app.api.schemas.jobs import JobOut, JobsOut
from app.api.schemas.search import TuneIn, TuneMany, TuneOne
from app.api.searches import refuse_searches_early, search_of
from app.api.submission import Once, answered_before, once, queue
from app.forecasting.services import Services

router = router_of("training")


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
    caller: TheCaller,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Queue one job a ticker; its result is a `SearchOut`: a leaderboard and a body for `POST /v1/train`.

    Trials are compared on the newest part of what the evaluation leaves to training; no test session is looked at.
    The preset `pooled` is refused: a search is for a network of one ticker.
    """
    marker = once(idempotency_key, caller, "tune", body.model_dump(mode="json", exclude_unset=True))
    answer = answered_before(marker, services=services) or _hand_in(body, marker, services=services, request=request)
    announce(response, answer)
    return answer


def _hand_in(body: TuneOne | TuneMany, marker: Once | None, *, services: Services, request: Request) -> dict[str, Any]:
    is_list = isinstance(body, TuneMany)
    tickers = body.tickers if isinstance(body, TuneMany) else [body.ticker]
    orders = [search_of(body, ticker, services=services) for ticker in tickers]
    refuse_searches_early(orders, services=services, is_list=is_list)
    return queue(
        orders,
        kind="tune",
        is_list=is_list,
        priority=body.priority,
        marker=marker,
        services=services,
        request=request,
    )
