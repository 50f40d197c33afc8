"""Forecasts of many tickers, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection

from app.api.accept import CSV
from app.api.columns import columns_of, to_csv
from app.api.documents import Ready, etag_of, ready
from app.api.hot_answers import Made
from app.api.pagination import page_of, position_of
from app.api.problems import document_of, status_of
from app.api.schemas.common import Ticker
from app.errors import AppError, BadRequest
from app.forecasting.answer import Answer, answers
from app.forecasting.services import Services
from app.registry import editions, versions
from app.registry.served import served

#: Tickers on a page: a forecast is one row of numbers, and a dashboard wants all of them.
MAX_TICKERS = 1000
JSON_FORM, COLUMNS_FORM, CSV_FORM = "json", "columns", "csv"

_LIST = "latest forecasts"
_BY_TICKER = TypeAdapter(tuple[Ticker])


class PagesOfAll(BadRequest):
    """Tickers were named, and a page of all tickers was asked for."""

    title = "No pages of named tickers"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of many tickers at once; ``tickers`` ``None``: of a page of all that have a version."""

    tickers: Sequence[str] | None
    page_size: int
    page_token: str | None
    model: str
    horizon: int
    levels: Sequence[float]
    form: str


def make_many(asked: Asked, *, services: Services) -> Made:
    """Answer for each ticker asked for, or say why not; ``complete`` when every one has a forecast.

    Whoever gets a problem may not keep the answer unasked: what mends it is nothing that time brings. Nor is an answer
    kept here when the problem is none of the question: no edition need come with its end.

    Raises:
        InvalidPageToken: the token is not one of this list.
    """
    now = services.clock()
    with services.database.read() as tx:
        edition = editions.current(tx)
        names, token = _page(tx, asked)
        rows = served(tx, names, asked.model)
    found = answers(rows, model=asked.model, horizon=asked.horizon, levels=asked.levels, now=now)
    items = [_item(*one) for one in zip(names, found, strict=True)]
    errors = [one for one in found if isinstance(one, AppError)]
    document = {
        "edition": str(edition),
        "complete": not errors,
        "next_update_at": min((item["next_update_at"] for item in items if "problem" not in item), default=None),
        **({"next_page_token": token} if token else {}),
    }
    expires_at = min((one.expires_at for one in found if isinstance(one, Answer)), default=None)
    is_kept = all(status_of(error) < 500 for error in errors)
    made = replace(_written(document, items, asked, token), expires_at=expires_at, is_partial=bool(errors))
    return Made(ready=made, edition=edition if is_kept else None)


def _page(tx: Connection, asked: Asked) -> tuple[Sequence[str], str | None]:
    """Return the tickers asked for, and the token of the page behind."""
    if asked.tickers is not None:
        return asked.tickers, None
    after = position_of(_LIST, asked.page_token, _BY_TICKER)[0] if asked.page_token is not None else None
    names = versions.tickers_after(tx, after=after, limit=asked.page_size + 1)
    return page_of(names, size=asked.page_size, list_name=_LIST, position=lambda name: (name,))


def _item(ticker: str, found: Answer | AppError) -> dict[str, Any]:
    if isinstance(found, Answer):
        return found.document
    return {"ticker": ticker, "problem": document_of(found, instance=f"/v1/forecasts/{ticker}", request_id=None)}


def _written(document: Mapping[str, Any], items: Sequence[Mapping[str, Any]], asked: Asked, token: str | None) -> Ready:
    """Write ``items`` in the form that is asked for."""
    if asked.form == JSON_FORM:
        return ready({**document, "items": items})
    columns = columns_of(items, asked.levels)
    if asked.form == COLUMNS_FORM:
        return ready({**document, "columns": columns})
    body = to_csv(columns)
    return Ready(body, etag_of(body), media_type=CSV, token=token)
