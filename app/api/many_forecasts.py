"""Forecasts of many tickers, read at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.api.documents import ready
from app.api.hot_answers import Made
from app.api.problems import document_of
from app.errors import AppError
from app.forecasting.answer import answer
from app.forecasting.services import Services
from app.registry import editions


def make_many(
    tickers: Sequence[str],
    *,
    model: str,
    horizon: int,
    levels: Sequence[float],
    services: Services,
    request_id: str,
) -> Made:
    """Answer for each of ``tickers``, or say why not; ``complete`` when every one has a forecast.

    A problem carries the id of the request, so that an answer with one in it is for that request alone.
    """
    now = services.clock()
    items: list[dict[str, Any]] = []
    expiries: list[datetime] = []
    with services.database.read() as tx:
        edition = editions.current(tx)
        for ticker in tickers:
            try:
                found = answer(tx, ticker, model=model, horizon=horizon, levels=levels, now=now)
            except AppError as error:
                problem = document_of(error, instance=f"/v1/forecasts/{ticker}", request_id=request_id)
                items.append({"ticker": ticker, "problem": problem})
            else:
                items.append(found.document)
                expiries.append(found.expires_at)
    is_complete = len(expiries) == len(items)
    document = {
        "edition": str(edition),
        "complete": is_complete,
        "next_update_at": min((item["next_update_at"] for item in items if "problem" not in item), default=None),
        "items": items,
    }
    return Made(ready=ready(document, expires_at=min(expiries, default=None)), edition=edition if is_complete else None)
