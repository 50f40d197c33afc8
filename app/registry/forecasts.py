"""Every forecast ever issued, in a chain; none is changed or deleted, not even with its version."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, ScalarSelect, Select, literal, select, tuple_

from app.db.column_types import UtcDateTime
from app.db.tables import forecasts, tickers
from app.domain.forecast import Forecast
from app.domain.score import awaiting
from app.registry import chain, scores
from app.registry.editions import hold, next_edition
from app.registry.readable import readable

_IDS_AT_ONCE = 500


def store(tx: Connection, forecast: Forecast) -> None:
    """Keep a forecast as the chain's next link, its steps waiting for their scores; the same one again is nothing new.

    Draw ``next_edition`` once for all forecasts of a transaction and publish them under it. One that
    carries another edition still begins a new one, so that no cached answer outlives it.
    """
    edition = hold(tx)
    known = select(forecasts.c.forecast_id).where(forecasts.c.forecast_id == forecast.forecast_id)
    if tx.execute(known).first():
        return
    if forecast.edition != str(edition):
        next_edition(tx)
    body = forecast.to_dict()
    row = {
        "forecast_id": forecast.forecast_id,
        "ticker": forecast.ticker,
        "version": forecast.version,
        "as_of_session": forecast.as_of_session,
        "issued_at": forecast.issued_at,
        "edition": forecast.edition,
        "body": body,
    }
    tx.execute(forecasts.insert().values(row))
    chain.append(tx, forecast.forecast_id, body)
    scores.expect(tx, awaiting(forecast))


def get_many(tx: Connection, ids: Sequence[str]) -> dict[str, Forecast]:
    """Return the forecasts of these ids, as far as there are any.

    Raises:
        CorruptRecord: somebody mangled one; ``chain.verify`` names it.
    """
    found: dict[str, Forecast] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = select(forecasts.c.body).where(forecasts.c.forecast_id.in_(ids[start : start + _IDS_AT_ONCE]))
        found |= {forecast.forecast_id: forecast for forecast in _read(tx, some)}
    return found


def latest(tx: Connection, ticker: str, version: int | None) -> Forecast | None:
    """Return the newest forecast of a version, or of the baseline (``None``): newest bars first, then newest issue.

    Raises:
        CorruptRecord: somebody mangled it; ``chain.verify`` names it.
    """
    issued = select(forecasts.c.body).where(forecasts.c.ticker == ticker, forecasts.c.version == version)
    newest = issued.order_by(forecasts.c.as_of_session.desc(), forecasts.c.issued_at.desc()).limit(1)
    return next(iter(_read(tx, newest)), None)


def newest_of(by: ColumnElement[bool], *correlated: FromClause) -> ScalarSelect[Any]:
    """Return the id of the newest forecast of a row of ``tickers`` that is ``by`` somebody, as ``latest`` finds it.

    It is part of a statement over ``tickers`` and the tables ``correlated``.
    """
    issued = select(forecasts.c.forecast_id).where(forecasts.c.ticker == tickers.c.ticker, by)
    newest = issued.order_by(forecasts.c.as_of_session.desc(), forecasts.c.issued_at.desc()).limit(1)
    return newest.correlate(tickers, *correlated).scalar_subquery()


def history(
    tx: Connection, ticker: str, *, since: date | None, before: tuple[datetime, str] | None, limit: int
) -> list[Forecast]:
    """Return what was issued for the ticker, newest first.

    ``since`` is the oldest ``as_of_session`` wanted; ``before`` is ``(issued_at, forecast_id)`` of the
    last one seen.

    Raises:
        CorruptRecord: somebody mangled one; ``chain.verify`` names it.
    """
    page = select(forecasts.c.body).where(forecasts.c.ticker == ticker)
    if since is not None:
        page = page.where(forecasts.c.as_of_session >= since)
    if before is not None:
        seen = tuple_(literal(before[0], UtcDateTime), literal(before[1]))
        page = page.where(tuple_(forecasts.c.issued_at, forecasts.c.forecast_id) < seen)
    newest_first = page.order_by(forecasts.c.issued_at.desc(), forecasts.c.forecast_id.desc())
    return _read(tx, newest_first.limit(limit))


def _read(tx: Connection, wanted: Select[Any]) -> list[Forecast]:
    with readable("A forecast"):
        return [Forecast.from_dict(body) for body in tx.execute(wanted).scalars()]
