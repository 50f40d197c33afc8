"""The first steps of what was forecast of a ticker's close: of each forecast no more is read than one line says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from pydantic_core import from_json
from sqlalchemy import Connection, false, or_, select

from app.db.tables import forecasts, scores
from app.domain.forecast import Bands, Step
from app.registry.readable import readable

_IDS_AT_ONCE = 500


class Expected(NamedTuple):
    """That a forecast was issued for a session by a version (``None``: the baseline), and whether it has a score."""

    forecast_id: str
    version: int | None
    origin: str
    issued_at: datetime
    as_of_session: date
    target_session: date
    state: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """The first step that a forecast said, and the levels, in percent, of the bands to display for those asked for."""

    step: Step
    shown: Sequence[float]
    architecture: str


def expected(tx: Connection, ticker: str, numbers: Collection[int | None], *, since: date) -> list[Expected]:
    """Return who of ``numbers`` forecast the ticker's close for each session from ``since`` on.

    ``None`` is the baseline. In the order of session and issue.
    """
    columns = [scores.c[name] for name in Expected._fields]
    known = [number for number in numbers if number is not None]
    by = or_(scores.c.version.in_(known), scores.c.version.is_(None) if None in numbers else false())
    own = (scores.c.ticker == ticker, scores.c.target_session >= since, scores.c.leads, scores.c.field == "close", by)
    order = (scores.c.target_session, scores.c.issued_at, scores.c.forecast_id)
    return [Expected._make(row) for row in tx.execute(select(*columns).where(*own).order_by(*order)).all()]


def said(tx: Connection, ids: Sequence[str], levels: Sequence[float]) -> dict[str, Said]:
    """Return what the forecasts of these ids said first, as far as there are any, for bands of ``levels`` %.

    Raises:
        CorruptRecord: somebody mangled one; ``chain.verify`` names it.
    """
    body = forecasts.c.body
    parts = (body[("steps", 0)].as_string(), body[("bands", "levels")].as_string(), body["architecture"].as_string())
    found: dict[str, Said] = {}
    with readable("A forecast"):
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = forecasts.c.forecast_id.in_(ids[start : start + _IDS_AT_ONCE])
            rows = tx.execute(select(forecasts.c.forecast_id, *parts).where(some)).all()
            for forecast_id, step, bands, architecture in rows:
                # Forecasts from before there were bands show every level as its own.
                kept = Bands(levels=from_json(bands) if bands else ())
                shown = [kept.shown(level) for level in levels]
                found[forecast_id] = Said(step=Step.from_dict(from_json(step)), shown=shown, architecture=architecture)
    return found
