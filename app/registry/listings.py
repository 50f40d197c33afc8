"""Versions as lists show them: of each no more is read than a row of the list says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Connection, FromClause, Label, RowMapping, Select, and_, bindparam, case, select

from app.db.tables import aliases, forecasts, tickers, versions
from app.domain.forecast import Validity
from app.domain.spec import NetworkSpec
from app.domain.version import CHAMPION, VersionSummary
from app.registry.forecasts import newest_of
from app.registry.readable import readable
from app.registry.tickers import STATE

_PLAIN = ("ticker", "number", "created_at", "damaged_at")
_SPECS_KEPT = 1024  # most versions share theirs with others


def list_versions(tx: Connection, ticker: str, *, before: int | None, limit: int) -> list[VersionSummary]:
    """Return the ticker's versions below the number ``before``, newest first.

    Raises:
        CorruptRecord: somebody mangled one; delete it.
    """
    page = select(*_summary(versions, "")).where(versions.c.ticker == ticker)
    if before is not None:
        page = page.where(versions.c.number < before)
    with readable(f"A version of {ticker}", ticker=ticker):
        newest_first = page.order_by(versions.c.number.desc()).limit(limit)
        return [_to_summary(row, "") for row in tx.execute(newest_first).mappings()]


def overview(tx: Connection, *, after: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the tickers behind ``after`` that have a version, in ticker order.

    Each row: ``ticker``, ``champion`` (a summary or ``None``), ``latest`` (a summary), ``forecast`` (the ``Validity``
    of what is served, or ``None``), ``source_ok``, ``source_error``, ``checked_at``, ``next_update_at``.

    Raises:
        CorruptRecord: somebody mangled a row; a refresh of all tickers names it.
    """
    with readable("The newest or the served version of a ticker"):
        rows = tx.execute(_overview(), {"after": after or "", "limit": limit}).mappings()
        return [_overview_row(row) for row in rows]


@cache
def _overview() -> Select[Any]:
    """Return the statement, made once: a few look-ups by index a ticker, however much there is of each."""
    latest, champion, served = versions.alias("latest"), versions.alias("champion"), forecasts.alias("served")
    highest = select(versions.c.number).where(versions.c.ticker == tickers.c.ticker)
    highest = highest.order_by(versions.c.number.desc()).limit(1).correlate(tickers)
    # Two look-ups and not one with `IS NOT DISTINCT FROM`, for which PostgreSQL uses no index.
    newest = case(
        (aliases.c.version.is_(None), newest_of(forecasts.c.version.is_(None))),
        else_=newest_of(forecasts.c.version == aliases.c.version, aliases),
    )
    # Mostly the champion is the latest, and need not be read twice.
    another = aliases.c.version != latest.c.number
    source = (
        tickers.join(latest, and_(latest.c.ticker == tickers.c.ticker, latest.c.number == highest.scalar_subquery()))
        .outerjoin(aliases, and_(aliases.c.ticker == tickers.c.ticker, aliases.c.alias == CHAMPION))
        .outerjoin(
            champion, and_(champion.c.ticker == aliases.c.ticker, champion.c.number == aliases.c.version, another)
        )
        .outerjoin(served, served.c.forecast_id == newest)
    )
    valid = {
        "version": served.c.version,
        "first_close_at": served.c.body[("steps", 0, "target_close_at")].as_string(),
        "next_update_at": served.c.body["next_update_at"].as_string(),
    }
    columns = (
        *(tickers.c.ticker, *STATE, aliases.c.version, served.c.forecast_id, *_summary(latest, "latest_")),
        *_summary(champion, "champion_"),
        *(column.label(f"served_{name}") for name, column in valid.items()),
    )
    page = select(*columns).select_from(source).where(tickers.c.ticker > bindparam("after"))
    return page.order_by(tickers.c.ticker).limit(bindparam("limit"))


def _summary(table: FromClause, prefix: str) -> Sequence[Label[Any]]:
    parts = {
        **{name: table.c[name] for name in _PLAIN},
        "preset": table.c.order["preset"].as_string(),
        "spec": table.c.order["spec"].as_string(),
        "source": table.c.data["source"].as_string(),
        "trained_through": table.c.data["last_session"].as_string(),
        "skill": table.c.scorecard["skill"],
        "reasons": table.c.scorecard["reasons"],
        "metrics": table.c.scorecard[("contestants", "model")],
        "persistence": table.c.scorecard[("contestants", "persistence")],
    }
    return [part.label(prefix + name) for name, part in parts.items()]


def _to_summary(row: RowMapping, prefix: str) -> VersionSummary:
    named = (*_PLAIN, "preset", "source", "skill", "metrics", "persistence")
    return VersionSummary(
        **{name: row[prefix + name] for name in named},
        spec=_spec(row[prefix + "spec"]),
        trained_through=date.fromisoformat(row[prefix + "trained_through"]),
        reasons=tuple(row[prefix + "reasons"]),
    )


@lru_cache(maxsize=_SPECS_KEPT)
def _spec(text: str) -> NetworkSpec:
    return NetworkSpec.from_dict(json.loads(text))


def _overview_row(row: RowMapping) -> dict[str, Any]:
    valid = {name: row[f"served_{name}"] for name in ("first_close_at", "next_update_at")}
    forecast = (
        Validity(version=row["served_version"], **{name: datetime.fromisoformat(text) for name, text in valid.items()})
        if row["forecast_id"]
        else None
    )
    latest = _to_summary(row, "latest_")
    champion = None if row["version"] is None else latest
    if row["champion_number"] is not None:
        champion = _to_summary(row, "champion_")
    state = {column.name: row[column.name] for column in STATE}
    return {"ticker": row["ticker"], "champion": champion, "latest": latest, "forecast": forecast, **state}
