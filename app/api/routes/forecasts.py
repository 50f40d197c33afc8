"""Forecasts: the latest, many at once, from the caller's own bars, and all that were issued."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response

from app.api.dependencies import DEFAULT_SIZE, PageSize, PageToken, TheHotAnswers, TheServices, TickerPath
from app.api.documents import TAGGED, ready
from app.api.hot_answers import Made, key_of
from app.api.issued import issued_page
from app.api.many_forecasts import make_many
from app.api.own_bars import bars_of
from app.api.problems import body_problems, problems
from app.api.routes import router_of
from app.api.schemas.common import TICKER_PATTERN, IsoDate
from app.api.schemas.forecasts import (
    LEVELS_PATTERN,
    MAX_HORIZON,
    MODEL_PATTERN,
    BarsForecastIn,
    ForecastOut,
    ForecastsOut,
    HistoryOut,
)
from app.errors import InvalidBars
from app.forecasting.adhoc import forecast_bars
from app.forecasting.answer import answer
from app.forecasting.services import Services
from app.registry import editions

router = router_of("forecasts")

Model = Annotated[str, Query(pattern=MODEL_PATTERN, description="An alias or a version number.")]
Horizon = Annotated[
    int, Query(ge=1, le=MAX_HORIZON, description="Sessions ahead, of each target; at most the version's horizon.")
]
Levels = Annotated[str, Query(pattern=LEVELS_PATTERN, description="Intervals, in percent, with commas between them.")]
Tickers = Annotated[
    str,
    Query(
        pattern=f"^{TICKER_PATTERN}(?:,{TICKER_PATTERN}){{0,499}}$",
        description="Up to 500 tickers, with commas between them.",
        examples=["AAPL,MSFT"],
    ),
]
BY_DEFAULT = "80,95"


@router.get(
    "/v1/forecasts/{ticker}",
    response_model=ForecastOut,
    responses={**TAGGED, **problems(404, 422)},
    summary="The latest forecast",
)
async def latest(
    ticker: TickerPath,
    services: TheServices,
    hot: TheHotAnswers,
    request: Request,
    model: Model = "champion",
    horizon: Horizon = 1,
    level: Levels = BY_DEFAULT,
) -> Response:
    """Answer with the latest stored forecast of the champion, another alias or a version."""
    make = partial(_make, ticker, model=model, horizon=horizon, levels=levels_of(level), services=services)
    return (await hot.answer(key_of(request, "model", "horizon", "level"), make)).respond(request)


@router.get(
    "/v1/forecasts",
    response_model=ForecastsOut,
    responses={**TAGGED, **problems(422)},
    summary="Forecasts of many tickers",
)
async def many(
    services: TheServices,
    hot: TheHotAnswers,
    request: Request,
    tickers: Tickers,
    model: Model = "champion",
    horizon: Horizon = 1,
    level: Levels = BY_DEFAULT,
) -> Response:
    """Answer for many tickers at once, from one moment; a ticker without a forecast says why."""
    wanted = list(dict.fromkeys(tickers.upper().split(",")))
    make = partial(
        make_many,
        wanted,
        model=model,
        horizon=horizon,
        levels=levels_of(level),
        services=services,
        request_id=request.state.request_id,
    )
    return (await hot.answer(key_of(request, "tickers", "model", "horizon", "level"), make)).respond(request)


@router.post(
    "/v1/forecasts",
    response_model=ForecastOut,
    responses=body_problems(404),
    summary="A forecast from your own bars",
)
def from_bars(body: BarsForecastIn, services: TheServices) -> Response:
    """Forecast the sessions after the caller's last bar; nothing is stored and no source is asked.

    A version that reads the bars of peers too answers 422 `needs_peers`.
    """
    try:
        document = forecast_bars(
            body.ticker,
            bars_of(body.bars),
            model=body.model,
            horizon=body.horizon,
            levels=tidy(body.level),
            services=services,
            now=services.clock(),
        )
    except OverflowError:
        raise InvalidBars("The prices swing so much that no number holds the forecast.", pointer="/bars") from None
    return Response(ready(document).body, media_type="application/json")


@router.get(
    "/v1/forecasts/{ticker}/history",
    response_model=HistoryOut,
    responses=problems(400, 404, 422),
    summary="Every forecast issued",
)
def history(
    ticker: TickerPath,
    services: TheServices,
    since: Annotated[IsoDate | None, Query(description="First `as_of_session` wanted.")] = None,
    level: Levels = BY_DEFAULT,
    page_size: PageSize = DEFAULT_SIZE,
    page_token: PageToken = None,
) -> Response:
    """List what was issued, newest first, with what came of it once the session has closed."""
    document = issued_page(
        ticker, since=since, levels=levels_of(level), size=page_size, token=page_token, services=services
    )
    return Response(ready(document).body, media_type="application/json")


def levels_of(text: str) -> tuple[float, ...]:
    """Return the levels in ``text``, such as ``80,95``."""
    return tidy(float(part) for part in text.split(","))


def tidy(levels: Iterable[float]) -> tuple[float, ...]:
    """Return each of ``levels`` once, in their order; whole ones as integers."""
    return tuple(dict.fromkeys(int(level) if level.is_integer() else level for level in levels))


def _make(ticker: str, *, model: str, horizon: int, levels: Sequence[float], services: Services) -> Made:
    """Read the answer for one ticker."""
    with services.database.read() as tx:
        edition = editions.current(tx)
        found = answer(tx, ticker, model=model, horizon=horizon, levels=levels, now=services.clock())
    return Made(ready=ready(found.document, expires_at=found.expires_at), edition=edition)


def read_edition(services: Services) -> int:
    """Return the registry's present edition."""
    with services.database.read() as tx:
        return editions.current(tx)
