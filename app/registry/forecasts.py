"""Every forecast ever issued; none is changed or deleted, not even with its version."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Connection, literal, select, tuple_

from app.db.tables import UtcDateTime, forecasts
from app.db.upsert import insert
from app.domain.forecast import Forecast
from app.registry.editions import current, next_edition


def store(tx: Connection, forecast: Forecast) -> None:
    """Keep a forecast; storing the same one again changes nothing.

    Draw ``next_edition`` once for all forecasts of a transaction and publish them under it. One that
    carries another edition still begins a new one, so that no cached answer outlives it.
    """
    row = {
        "forecast_id": forecast.forecast_id,
        "ticker": forecast.ticker,
        "version": forecast.version,
        "as_of_session": forecast.as_of_session,
        "issued_at": forecast.issued_at,
        "edition": forecast.edition,
        "body": forecast.to_dict(),
    }
    added = insert(tx, forecasts).values(row).on_conflict_do_nothing().returning(forecasts.c.forecast_id)
    if tx.execute(added).one_or_none() and forecast.edition != str(current(tx)):
        next_edition(tx)


def latest(tx: Connection, ticker: str, version: int | None) -> Forecast | None:
    """Return the newest forecast of a version, or of the baseline (``None``): newest bars first, then newest issue."""
    issued = select(forecasts.c.body).where(forecasts.c.ticker == ticker, forecasts.c.version == version)
    newest = issued.order_by(forecasts.c.as_of_session.desc(), forecasts.c.issued_at.desc()).limit(1)
    body = tx.execute(newest).scalar_one_or_none()
    return Forecast.from_dict(body) if body else None


def history(
    tx: Connection, ticker: str, *, since: date | None, before: tuple[datetime, str] | None, limit: int
) -> list[Forecast]:
    """Return what was issued for the ticker, newest first.

    ``since`` is the oldest ``as_of_session`` wanted; ``before`` is ``(issued_at, forecast_id)`` of the
    last one seen.
    """
    page = select(forecasts.c.body).where(forecasts.c.ticker == ticker)
    if since is not None:
        page = page.where(forecasts.c.as_of_session >= since)
    if before is not None:
        seen = tuple_(literal(before[0], UtcDateTime), literal(before[1]))
        page = page.where(tuple_(forecasts.c.issued_at, forecasts.c.forecast_id) < seen)
    newest_first = page.order_by(forecasts.c.issued_at.desc(), forecasts.c.forecast_id.desc())
    return [Forecast.from_dict(body) for body in tx.execute(newest_first.limit(limit)).scalars()]
