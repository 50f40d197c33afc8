"""Peers: whose bars are worth reading beside those of a ticker."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from app.api.dependencies import TheServices, TickerPath
from app.api.documents import TAGGED, ready
from app.api.problems import problems
from app.api.routes import router_of
from app.api.schemas.common import TICKER_PATTERN, IsoDate
from app.api.schemas.market import PeersOut
from app.forecasting.peer_choice import MOST_CANDIDATES, UNASKED_CANDIDATES, Window, rank_peers

router = router_of("market data")

Candidates = Annotated[
    str | None,
    Query(
        pattern=f"^{TICKER_PATTERN}(?:,{TICKER_PATTERN}){{0,{MOST_CANDIDATES - 1}}}$",
        description=f"Up to {MOST_CANDIDATES} tickers, with commas between them; absent: up to {UNASKED_CANDIDATES} of "
        "the same source whose bars are at hand.",
        examples=["AAPL,GOOG"],
    ),
]


@router.get(
    "/v1/tickers/{ticker}/peers",
    response_model=PeersOut,
    responses={**TAGGED, **problems(404, 422)},
    summary="Which tickers move together",
)
def peers(
    ticker: TickerPath,
    services: TheServices,
    request: Request,
    candidates: Candidates = None,
    top: Annotated[
        int | None, Query(ge=1, le=MOST_CANDIDATES, description="So many of the nearest; absent: all.")
    ] = None,
    start: Annotated[IsoDate | None, Query(description="First session.")] = None,
    end: Annotated[
        IsoDate | None,
        Query(description="Last session; absent: the last before those that the default evaluation tests on."),
    ] = None,
) -> Response:
    """Correlate candidates with the ticker, by bars at hand alone, over the sessions that all of them share."""
    asked = candidates.upper().split(",") if candidates is not None else None
    document = rank_peers(ticker, asked, window=Window(start=start, end=end), top=top, services=services)
    return ready(document).respond(request)
