"""Handing in backtests: a training's judgement without its version."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Request, Response

from app.api.dependencies import IdempotencyKey, TheCaller, TheServices
from app.api.problems import body_problems
from app.api.routes import router_of
from app.api.routes.train import ACCEPTED, announce
from app.api.schemas.jobs import JobOut, JobsOut
from app.api.schemas.orders import BacktestIn, BacktestMany, BacktestOne
from app.api.submission import Once, answered_before, once, order_of, queue, refuse_early
from app.forecasting.services import Services

router = router_of("training")


@router.post(
    "/v1/backtest",
    status_code=202,
    response_model=JobOut | JobsOut,
    responses={**ACCEPTED, **body_problems(404, 409)},
    summary="Judge a network out of sample for a ticker, or for several",
)
def backtest(
    body: Annotated[BacktestIn, Body()],
    services: TheServices,
    caller: TheCaller,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Queue one job a ticker; its result is a `BacktestOut`: the scorecard that a training would get.

    Nothing is registered. With `refit` false the network and its rivals are fitted once and the window rolls on:
    cheaper, and the card says so. The preset `pooled` is refused: its network is of many tickers, and each version of
    it has its scorecard.
    """
    marker = once(idempotency_key, caller, "backtest", body.model_dump(mode="json", exclude_unset=True))
    answer = answered_before(marker, services=services) or _hand_in(body, marker, services=services, request=request)
    announce(response, answer)
    return answer


def _hand_in(
    body: BacktestOne | BacktestMany, marker: Once | None, *, services: Services, request: Request
) -> dict[str, Any]:
    is_list = isinstance(body, BacktestMany)
    tickers = body.tickers if isinstance(body, BacktestMany) else [body.ticker]
    orders = [order_of(body, ticker, services=services) for ticker in tickers]
    refuse_early(orders, services=services, is_list=is_list)
    return queue(
        orders,
        kind="backtest",
        is_list=is_list,
        priority=body.priority,
        marker=marker,
        services=services,
        request=request,
    )
