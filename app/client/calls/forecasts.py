"""Forecasts and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

from app.api.schemas.forecasts import BarIn, HistoryOut, IssuedOut
from app.api.schemas.market import BarOut
from app.api.schemas.scores import OverallOut, ScoresItemOut, ScoresOut
from app.client.call import (
    JSON,
    Call,
    Flow,
    Listing,
    Schema,
    commas,
    get,
    json_bytes,
    listing,
    reading,
    segment,
    taking,
)
from app.client.documents import Forecast, ForecastColumns, Forecasts, Series
from app.client.errors import kept_changing

_MOST_READINGS = 3

Page = TypeVar("Page", Forecasts, ForecastColumns)


def forecast(
    ticker: str, *, model: str | int | None = None, horizon: int | None = None, levels: Iterable[float] | None = None
) -> Call[Forecast]:
    """Return the latest forecast of the champion, or of another alias or version as ``model``.

    ``horizon`` is in sessions, 1 by default; ``levels`` of the intervals are in percent, 80 and 95 by default.

    Raises:
        NotFound: the ticker has no version (``no_model_yet``), or ``model`` names none.
        Invalid: the version does not look that far (``have``, ``need``).
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    asked = {"model": model, "horizon": horizon, "level": commas(levels, "g")}
    return _remembered(f"/v1/forecasts/{segment(ticker)}", Forecast, **asked)


def forecasts(
    tickers: Sequence[str] | None = None,
    *,
    model: str | int | None = None,
    horizon: int | None = None,
    levels: Iterable[float] | None = None,
) -> Flow[Forecasts]:
    """Return the forecasts of many tickers, or of all that have a version, as they were at one edition.

    An item without a forecast says why in its ``problem``.

    Raises:
        ClientError: the editions followed each other faster than the pages (``edition_changed``); ask again.
        Invalid: a ticker is none, or there are more than 500.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    asked = {"tickers": commas(tickers), "model": model, "horizon": horizon, "level": commas(levels, "g")}
    pages = yield from _pages(Forecasts, asked)
    return _joined(pages, items=[item for page in pages for item in page.items])


def forecast_columns(
    tickers: Sequence[str] | None = None,
    *,
    model: str | int | None = None,
    horizon: int | None = None,
    levels: Iterable[float] | None = None,
) -> Flow[ForecastColumns]:
    """Return what ``forecasts`` does as columns, which costs a fraction of it; parameters and errors are those.

    One row a ticker, step and field. A ticker without a forecast is one row with its ``problem`` and ``detail`` alone.
    """
    asked = {"tickers": commas(tickers), "model": model, "horizon": horizon, "level": commas(levels, "g")}
    pages = yield from _pages(ForecastColumns, {**asked, "format": "columns"})
    columns = {name: [value for page in pages for value in page.columns[name]] for name in pages[0].columns}
    return _joined(pages, columns=columns)


def series(
    ticker: str,
    *,
    model: str | int | None = None,
    since: date | None = None,
    levels: Iterable[float] | None = None,
    horizon: int | None = None,
) -> Call[Series]:
    """Return one chart of the close: ``bars``, forecasts ``issued`` and what is ``ahead``, as the bars are quoted now.

    ``since`` is the first session, the last 250 are by default; ``horizon`` is in sessions, by default as far as the
    version looks.

    Raises:
        NotFound: the ticker has no version (``no_model_yet``), ``model`` names none, or no bars are kept.
        Invalid: the version does not look that far (``have``, ``need``).
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    asked = {"model": model, "since": since, "level": commas(levels, "g"), "horizon": horizon}
    return _remembered(f"/v1/forecasts/{segment(ticker)}/series", Series, **asked)


def forecast_bars(
    ticker: str,
    bars: Iterable[Mapping[str, Any] | BarOut],
    *,
    model: str | int | None = None,
    horizon: int | None = None,
    levels: Iterable[float] | None = None,
) -> Call[Forecast]:
    """Forecast the sessions after your own bars, oldest first; nothing of them is kept.

    A bar has ``session``, ``open``, ``high``, ``low``, ``close`` and perhaps ``volume`` and ``extra``; those that
    ``bars`` returned will do.

    Raises:
        Invalid: the bars cannot be used, or the version needs those of peers too (``needs_peers``).
        NotFound: there is no such version.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    body: dict[str, Any] = {"ticker": ticker, "bars": [_bar(bar) for bar in bars]}
    asked = {
        "model": None if model is None else str(model),
        "horizon": horizon,
        "level": None if levels is None else list(levels),
    }
    body |= {name: value for name, value in asked.items() if value is not None}
    return Call(
        method="POST",
        path="/v1/forecasts",
        read=reading(Forecast),
        headers={"content-type": JSON},
        content=json_bytes(body),
        repeatable=True,
    )


def history(
    ticker: str, *, since: date | None = None, levels: Iterable[float] | None = None, page_size: int | None = None
) -> Listing[IssuedOut]:
    """Iterate over every forecast issued, the newest first, with what came of it; pages are fetched as they are needed.

    Raises:
        NotFound: the ticker has no version.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    asked = {"since": since, "level": commas(levels, "g"), "page_size": page_size}
    return listing(f"/v1/forecasts/{segment(ticker)}/history", HistoryOut, **asked)


def scores(
    *,
    ticker: str | None = None,
    window: int | None = None,
    origin: str | None = None,
    page_size: int | None = None,
) -> Listing[ScoresItemOut]:
    """Iterate over the rolling scores by ticker and model; ``origin`` is ``live``, ``backfill`` or ``backtest``.

    Raises:
        NotFound: the ticker has no version.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return listing("/v1/scores", ScoresOut, ticker=ticker, window=window, origin=origin, page_size=page_size)


def overall_scores(
    *, ticker: str | None = None, window: int | None = None, origin: str | None = None
) -> Call[list[OverallOut]]:
    """Return the rolling scores over all tickers: of all versions, and of the baseline.

    Raises:
        NotFound: the ticker has no version.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    page = get("/v1/scores", ScoresOut, ticker=ticker, window=window, origin=origin, page_size=1)
    return taking(page, lambda scores: scores.overall)


def _remembered(path: str, schema: type[Schema], **asked: Any) -> Call[Schema]:
    return replace(get(path, schema, **asked), remembered=True)


def _pages(schema: type[Page], asked: Mapping[str, Any]) -> Flow[list[Page]]:
    """Return all pages of one edition; when it changes on the way they are read again."""
    for _ in range(_MOST_READINGS):
        pages: list[Page] = [(yield _remembered("/v1/forecasts", schema, **asked))]
        while (token := getattr(pages[-1], "next_page_token", None)) and pages[-1].edition == pages[0].edition:
            pages.append((yield _remembered("/v1/forecasts", schema, **asked, page_token=token)))
        if pages[-1].edition == pages[0].edition:
            return pages
    raise kept_changing(_MOST_READINGS)


def _joined(pages: Sequence[Page], **rows: Any) -> Page:
    """Return ``pages`` as one document with all ``rows``."""
    return type(pages[0])(
        edition=pages[0].edition,
        complete=all(page.complete for page in pages),
        next_update_at=min((page.next_update_at for page in pages if page.next_update_at), default=None),
        **rows,
    )


def _bar(bar: Mapping[str, Any] | BarOut) -> Mapping[str, Any]:
    """Return a bar as the service takes it: one that it gave out has more fields, and null where it has no value."""
    if isinstance(bar, BarOut):
        return bar.model_dump(mode="json", include=set(BarIn.model_fields), exclude_none=True)
    return bar
