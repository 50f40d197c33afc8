"""How good the forecasts were that this service issued."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from app.api.dependencies import TheServices
from app.api.problems import problems
from app.api.schemas.common import TICKER_PATTERN
from app.api.schemas.scores import ScoresOut
from app.api.score_documents import scores_document

router = APIRouter(tags=["forecasts"])


@router.get(
    "/v1/scores",
    response_model=ScoresOut,
    responses=problems(404, 422),
    summary="Rolling scores of the forecasts issued",
)
def scores(
    services: TheServices,
    ticker: Annotated[
        str | None, Query(pattern=f"^{TICKER_PATTERN}$", description="Only this ticker; upper-cased on arrival.")
    ] = None,
    window: Annotated[int, Query(ge=1, le=10_000, description="Newest sessions of each model that count.")] = 250,
    origin: Annotated[
        Literal["live", "backfill", "backtest"],
        Query(description="Issued before the session opened, after it, or out of sample before the version was."),
    ] = "live",
) -> dict[str, Any]:
    """Sum up skill, distribution scores and coverage by ticker and model, with signs of drift.

    `live`, `backfill` and `backtest` never mix. The backtest is what the scorecards of the newest and of the
    aliased versions say; `window` does not cut it.
    """
    with services.database.read() as tx:
        return scores_document(tx, ticker=ticker.upper() if ticker else None, origin=origin, window=window)
