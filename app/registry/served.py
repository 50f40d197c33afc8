"""What answers for tickers right now: of any number of them, in few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, FromClause, RowMapping, Select, Text, and_, bindparam, case, cast, exists, select

from app.db.tables import aliases, forecasts, tickers, versions
from app.domain.forecast import Forecast
from app.registry.aliases import aliased
from app.registry.forecasts import newest_of
from app.registry.readable import readable
from app.registry.tickers import STATE

_NAMES_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Served:
    """What there is of ``ticker`` for who asks for a model, an alias or a version number.

    ``version`` is the one that the model names, ``None`` when it names none; ``alias`` points to it. ``known`` is what
    the registry knows of the ticker's source and next update. ``stored`` is the newest forecast of the version, or,
    where there is none, of the baseline: as text, so that what is mangled of one ticker hides no other.
    """

    ticker: str
    is_trained: bool
    version: int | None
    alias: str | None
    known: Mapping[str, Any]
    stored: str | None


def served(tx: Connection, names: Sequence[str], model: str) -> list[Served]:
    """Return what answers for each of the tickers ``names``, in their order, when ``model`` is asked for."""
    asked = int(model) if model.isdigit() else model
    statement = _statement("number" if model.isdigit() else "alias")
    found: dict[str, RowMapping] = {}
    pointed: dict[str, list[str]] = defaultdict(list)
    for some in _parts(names):
        rows = tx.execute(statement, {"names": some, "model": asked}).mappings()
        found |= {row["ticker"]: row for row in rows}
        if model.isdigit():
            for ticker, alias, number in aliased(tx, some):
                pointed[ticker] += [alias] if number == asked else []
    return [_of(name, found.get(name), model, pointed[name]) for name in names]


def read_forecast(found: Served) -> Forecast | None:
    """Read the newest forecast of ``found``.

    Raises:
        CorruptRecord: somebody mangled it; ``chain.verify`` names it.
    """
    if found.stored is None:
        return None
    with readable("A forecast", ticker=found.ticker):
        return Forecast.from_dict(from_json(found.stored))


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + _NAMES_AT_ONCE] for start in range(0, len(names), _NAMES_AT_ONCE))


@cache
def _statement(kind: str) -> Select[Any]:
    """Return the statement, made once: a few look-ups by index a ticker, however much there is of each."""
    pointed: FromClause = versions.alias("named") if kind == "number" else aliases
    named = pointed.c.number if kind == "number" else pointed.c.alias
    version = pointed.c.number if kind == "number" else pointed.c.version
    trained = exists().where(versions.c.ticker == tickers.c.ticker)
    # Two look-ups and not one with `IS NOT DISTINCT FROM`, for which PostgreSQL uses no index.
    newest = case(
        (version.is_(None), newest_of(forecasts.c.version.is_(None))),
        else_=newest_of(forecasts.c.version == version, pointed),
    )
    said = forecasts.alias("said")
    source = tickers.outerjoin(pointed, and_(pointed.c.ticker == tickers.c.ticker, named == bindparam("model")))
    source = source.outerjoin(said, said.c.forecast_id == newest)
    columns = (tickers.c.ticker, *STATE, version.label("version"), trained.label("is_trained"))
    chosen = select(*columns, cast(said.c.body, Text).label("stored")).select_from(source)
    return chosen.where(tickers.c.ticker.in_(bindparam("names", expanding=True)))


def _of(name: str, row: RowMapping | None, model: str, pointed: Sequence[str]) -> Served:
    if row is None:
        return Served(ticker=name, is_trained=False, version=None, alias=None, known={}, stored=None)
    carried = min(pointed, default=None) if model.isdigit() else model
    return Served(
        ticker=name,
        is_trained=row["is_trained"],
        version=row["version"],
        alias=None if row["version"] is None else carried,
        known={column.name: row[column.name] for column in STATE},
        stored=row["stored"],
    )
