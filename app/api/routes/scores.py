"""How good the forecasts were that this service issued."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request, Response

from app.api.dependencies import DEFAULT_SIZE, PageSize, PageToken, TheServices
from app.api.documents import TAGGED, ready
from app.api.problems import problems
from app.api.routes import router_of
from app.api.schemas.common import TICKER_PATTERN
from app.api.schemas.scores import ScoresOut
from app.api.score_documents import scores_of, scores_page
from app.registry.score_sums import KEPT_WINDOW

router = router_of("forecasts")


@router.get(
    "/v1/scores",
    response_model=ScoresOut,
    responses={**TAGGED, **problems(400, 404, 422)},
    summary="Rolling scores of the forecasts issued",
)
def scores(
    services: TheServices,
    request: Request,
    ticker: Annotated[
        str | None, Query(pattern=f"^{TICKER_PATTERN}$", description="Only this ticker; upper-cased on arrival.")
    ] = None,
    window: Annotated[int, Query(ge=1, le=10_000, description="Newest sessions that count.")] = KEPT_WINDOW,
    origin: Annotated[
        Literal["live", "backfill", "backtest"],
        Query(description="Issued before the session opened, after it, or out of sample before the version was."),
    ] = "live",
    page_size: PageSize = DEFAULT_SIZE,
    page_token: PageToken = None,
) -> Response:
    """Sum up skill, distribution scores and coverage by ticker and model, with signs of drift.

    `live`, `backfill` and `backtest` never mix. A page has `page_size` tickers with all their models, each over its
    own newest `window` sessions. `overall` is the same on every page: the newest `window` sessions on which anything
    was scored, over all tickers; with `ticker` it adds up what that one's models have. The default `window` is kept
    added up, others are added up when asked for. The backtest is what the scorecards of the newest and of the aliased
    versions say, each of sessions of its own: `window` does not cut it, and it has no `overall`.
    """
    if ticker is None:
        document = scores_page(origin=origin, window=window, size=page_size, token=page_token, services=services)
    else:
        document = scores_of(ticker.upper(), origin=origin, window=window, services=services)
    return ready(document).respond(request)
