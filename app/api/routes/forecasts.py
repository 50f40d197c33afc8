"""Forecasts: the latest, many at once, from the caller's own bars, and all that were issued."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response

from app.api.accept import accept_of, prefers_csv
from app.api.dependencies import DEFAULT_SIZE, PageSize, PageToken, TheHotAnswers, TheServices, TickerPath
from app.api.documents import TAGGED, etag_headers, ready
from app.api.hot_answers import HotAnswers, Made, key_of
from app.api.issued import issued_page
from app.api.many_forecasts import CSV_FORM, JSON_FORM, MAX_TICKERS, Asked, PagesOfAll, make_many
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
from app.api.schemas.series import ForecastColumnsOut, SeriesOut
from app.api.series import make_series
from app.errors import InvalidBars
from app.forecasting.adhoc import forecast_bars
from app.forecasting.answer import answer
from app.forecasting.services import Services
from app.registry import editions
from app.registry.served import served

router = router_of("forecasts")

Model = Annotated[str, Query(pattern=MODEL_PATTERN, description="An alias or a version number.")]
Horizon = Annotated[
    int, Query(ge=1, le=MAX_HORIZON, description="Sessions ahead, of each target; at most the version's horizon.")
]
Levels = Annotated[str, Query(pattern=LEVELS_PATTERN, description="Intervals, in percent, with commas between them.")]
Tickers = Annotated[
    str | None,
    Query(
        pattern=f"^{TICKER_PATTERN}(?:,{TICKER_PATTERN}){{0,499}}$",
        description="Up to 500 tickers, with commas between them; absent: all that have a version.",
        examples=["AAPL,MSFT"],
    ),
]
Form = Annotated[
    Literal["json", "columns", "csv"] | None,
    Query(
        alias="format",
        description="How the answer is written; absent: CSV for an `Accept` that prefers it, else `json`.",
    ),
]
PageOfAll = Annotated[
    int | None,
    Query(
        ge=1, description=f"Tickers a page, without `tickers`; more than {MAX_TICKERS}, and absent, is {MAX_TICKERS}."
    ),
]
BY_DEFAULT = "80,95"
_IN_FORMS: dict[int | str, dict[str, Any]] = {
    **TAGGED,
    200: {
        "headers": etag_headers(**{"X-Next-Page-Token": "In CSV what `next_page_token` is in JSON."}),
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "ticker,problem,detail,state,...\nAAPL,,,fresh,...\n",
            }
        },
    },
}


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
    return await _hot(request, make, "model", "horizon", "level", hot=hot, services=services)


async def _asked(
    request: Request,
    tickers: Tickers = None,
    model: Model = "champion",
    horizon: Horizon = 1,
    level: Levels = BY_DEFAULT,
    form: Form = None,
    page_size: PageOfAll = None,
    page_token: PageToken = None,
) -> Asked:
    """Put together what is asked of many tickers.

    Raises:
        PagesOfAll: tickers are named, and a page is asked for; leave out one of the two.
    """
    wanted = None if tickers is None else list(dict.fromkeys(tickers.upper().split(",")))
    if wanted is not None and (page_size is not None or page_token is not None):
        pointer = "/query/page_token" if page_size is None else "/query/page_size"
        raise PagesOfAll("Pages are of all tickers: leave out tickers, or page_size and page_token.", pointer=pointer)
    return Asked(
        tickers=wanted,
        page_size=min(page_size or MAX_TICKERS, MAX_TICKERS),
        page_token=page_token,
        model=model,
        horizon=horizon,
        levels=levels_of(level),
        form=form or (CSV_FORM if prefers_csv(accept_of(request.scope)) else JSON_FORM),
    )


@router.get(
    "/v1/forecasts",
    response_model=ForecastsOut | ForecastColumnsOut,
    responses={**_IN_FORMS, **problems(400, 422)},
    summary="Forecasts of many tickers",
)
async def many(
    asked: Annotated[Asked, Depends(_asked)], services: TheServices, hot: TheHotAnswers, request: Request
) -> Response:
    """Answer for many tickers at once, from one moment; a ticker without a forecast says why.

    Without `tickers` it answers for all that have a version, in alphabetical order, 1000 a page. `format=columns` and
    CSV (`format=csv`, or `Accept: text/csv`) have one row a ticker, step and field; a problem is a row of its own.
    """
    make = partial(make_many, asked, services=services)
    known = ("tickers", "model", "horizon", "level", "format", "page_size", "page_token")
    return await _hot(request, make, *known, hot=hot, services=services)


@router.get(
    "/v1/forecasts/{ticker}/series",
    response_model=SeriesOut,
    responses={**TAGGED, **problems(404, 422)},
    summary="One chart: bars, forecasts issued, and what is ahead",
)
async def series(
    ticker: TickerPath,
    services: TheServices,
    hot: TheHotAnswers,
    request: Request,
    model: Model = "champion",
    since: Annotated[IsoDate | None, Query(description="First session; absent: the last 250.")] = None,
    level: Levels = BY_DEFAULT,
    horizon: Annotated[
        int | None, Query(ge=1, le=MAX_HORIZON, description="Sessions ahead; absent: as far as the version looks.")
    ] = None,
) -> Response:
    """Answer with all that one chart of the close shows, in columns, every price as the bars are quoted now.

    `issued` has one row a session: the last forecast issued for it by the version that carried the alias when it was
    issued, or, with `champion`, by the baseline when none did; with a number, by that version. Splits since are
    undone, dividends are not. A version that does not forecast the close has none.
    """
    make = partial(
        make_series, ticker, model=model, since=since, levels=levels_of(level), horizon=horizon, services=services
    )
    # With ``since`` there is no end of large answers to keep.
    return await _hot(request, make, "model", "level", "horizon", hot=hot, services=services)


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


def template_of(request: Request) -> str:
    """Return the path of the route that answers, as it is written there."""
    path: str = request.scope["route"].path
    return path


async def _hot(
    request: Request, make: Callable[[], Made], *known: str, hot: HotAnswers, services: Services
) -> Response:
    """Answer from memory, else ``make`` the answer; it is kept if no parameter but those ``known`` was given."""
    found = await hot.answer(key_of(request, *known), make, route=template_of(request))
    return found.respond(request, now=services.clock())


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
        (found,) = served(tx, [ticker], model)
    said = answer(found, model=model, horizon=horizon, levels=levels, now=services.clock())
    return Made(ready=ready(said.document, expires_at=said.expires_at), edition=edition)


def read_edition(services: Services) -> int:
    """Return the registry's present edition."""
    with services.database.read() as tx:
        return editions.current(tx)
