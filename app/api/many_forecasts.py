"""Forecasts of many tickers, read at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.api.problems import document_of
from app.errors import AppError
from app.forecasting.answer import answer
from app.forecasting.services import Services
from app.registry import editions


def forecasts_of(
    tickers: Sequence[str],
    *,
    model: str,
    horizon: int,
    levels: Sequence[float],
    services: Services,
    request_id: str,
) -> dict[str, Any]:
    """Answer for each of ``tickers``, or say why not; ``complete`` when every one has a forecast."""
    now = services.clock()
    items: list[dict[str, Any]] = []
    with services.database.read() as tx:
        edition = str(editions.current(tx))
        for ticker in tickers:
            try:
                found = answer(tx, ticker, model=model, horizon=horizon, levels=levels, now=now)
            except AppError as error:
                problem = document_of(error, instance=f"/v1/forecasts/{ticker}", request_id=request_id)
                items.append({"ticker": ticker, "problem": problem})
            else:
                items.append(found.document)
    updates = [item["next_update_at"] for item in items if "problem" not in item]
    return {
        "edition": edition,
        "complete": len(updates) == len(items),
        "next_update_at": min(updates, default=None),
        "items": items,
    }
