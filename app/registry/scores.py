"""What came of every forecast, one row a step; the only table about forecasts whose rows change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, Subquery, and_, bindparam, case, func, select, update

from app.db.tables import scores
from app.domain.score import MISSING, PENDING, SCORED, Score

_NAMES = tuple(field.name for field in fields(Score))
_COLUMNS = tuple(scores.c[name] for name in _NAMES)
_KEY = ("forecast_id", "step", "field")
_IDS_AT_ONCE = 500

#: The levels whose coverage is summed up, in percent.
SUMMED_LEVELS = (80, 90, 95)


def expect(tx: Connection, awaited: Iterable[Score]) -> None:
    """Let the steps of a new forecast wait for what comes."""
    tx.execute(scores.insert(), [_row(score) for score in awaited])


def settle(tx: Connection, settled: Sequence[Score]) -> None:
    """Write down what came, over what was known before."""
    if not settled:
        return
    changed = [name for name in _row(settled[0]) if name not in _KEY]
    same = and_(*(scores.c[name] == bindparam(f"key_{name}") for name in _KEY))
    rows = [_row(score) for score in settled]
    tx.execute(
        update(scores).where(same).values({name: bindparam(f"new_{name}") for name in changed}),
        [{f"key_{name}": row[name] for name in _KEY} | {f"new_{name}": row[name] for name in changed} for row in rows],
    )


def of_ticker(tx: Connection, ticker: str) -> list[Score]:
    """Return all steps ever forecast of the ticker, by target session, settled or not."""
    rows = select(*_COLUMNS).where(scores.c.ticker == ticker)
    return [_score(row) for row in tx.execute(rows.order_by(scores.c.target_session, *(scores.c[n] for n in _KEY)))]


def awaited(tx: Connection, *, until: date) -> list[str]:
    """Return the tickers with a step of a session up to ``until`` that waits for its score, in ticker order."""
    waits = scores.c.state == PENDING, scores.c.target_session <= until
    return list(tx.execute(select(scores.c.ticker).where(*waits).distinct().order_by(scores.c.ticker)).scalars())


def of_forecasts(tx: Connection, ids: Sequence[str]) -> dict[tuple[str, int, str], Score]:
    """Return the steps of the forecasts of these ids by ``(forecast_id, step, field)``."""
    found = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = select(*_COLUMNS).where(scores.c.forecast_id.in_(ids[start : start + _IDS_AT_ONCE]))
        for row in tx.execute(some):
            found[row.forecast_id, row.step, row.field] = _score(row)
    return found


def record(tx: Connection, *, origin: str, ticker: str, window: int) -> list[Score]:
    """Return the settled first steps of the ticker's leading targets, the last ``window`` sessions of each version.

    Ordered by version (the baseline first) and target session, oldest first. Of several forecasts of one session by
    one version the one issued last counts.
    """
    counted = _counted(origin, ticker, window)
    order = (func.coalesce(counted.c.version, 0), counted.c.target_session)
    return [_score(row) for row in tx.execute(select(*(counted.c[name] for name in _NAMES)).order_by(*order))]


def summed(tx: Connection, *, origin: str, ticker: str | None, window: int) -> list[dict[str, Any]]:
    """Return sums over what ``record`` has, one row a ticker and version, in that order; ``None`` is all tickers.

    ``n`` sessions came and ``missing`` never did. Squared errors are relative to the last value. ``both_crps`` sums
    the CRPS where that of persistence is known too, over ``n_both`` sessions; ``raw_80`` and ``displayed_80`` count
    the sessions that ended inside the band.
    """
    counted = _counted(origin, ticker, window)
    column = counted.c
    came = column.state == SCORED
    both = and_(came, column.crps_ewma_t.is_not(None))
    sums = {
        "n": case((came, 1), else_=0),
        "missing": case((came, 0), else_=1),
        "squared_error": case((came, (column.error / column.last_value) * (column.error / column.last_value))),
        "squared_persistence_error": case(
            (came, (column.persistence_error / column.last_value) * (column.persistence_error / column.last_value))
        ),
        **{name: case((came, column[name])) for name in ("crps", "pinball", "qlike")},
        "n_both": case((both, 1), else_=0),
        "both_crps": case((both, column.crps)),
        "both_crps_ewma_t": case((both, column.crps_ewma_t)),
        **{f"raw_{p}": case((func.abs(2 * column.pit - 1) <= p / 100, 1), else_=0) for p in SUMMED_LEVELS},
        **{f"displayed_{p}": case((column[f"inside_{p}"], 1), else_=0) for p in SUMMED_LEVELS},
    }
    spans = {"first_session": func.min(column.target_session), "last_session": func.max(column.target_session)}
    totals = [func.coalesce(func.sum(value), 0).label(name) for name, value in sums.items()]
    rows = select(column.ticker, column.version, *totals, *(span.label(name) for name, span in spans.items()))
    rows = rows.group_by(column.ticker, column.version).order_by(column.ticker, func.coalesce(column.version, 0))
    return [dict(row._mapping) for row in tx.execute(rows)]


def _counted(origin: str, ticker: str | None, window: int) -> Subquery:
    """Settled first steps of leading targets: of each session the forecast issued last, of each version the newest."""
    newest_issue = func.row_number().over(
        partition_by=(scores.c.ticker, scores.c.version, scores.c.target_session),
        order_by=(scores.c.issued_at.desc(), scores.c.forecast_id.desc()),
    )
    wanted = [scores.c.leads, scores.c.origin == origin, scores.c.state.in_((SCORED, MISSING))]
    wanted += [scores.c.ticker == ticker] if ticker is not None else []
    issued = select(scores, newest_issue.label("issue")).where(*wanted).subquery()
    place = func.row_number().over(
        partition_by=(issued.c.ticker, issued.c.version), order_by=issued.c.target_session.desc()
    )
    newest = select(issued, place.label("place")).where(issued.c.issue == 1).subquery()
    return select(newest).where(newest.c.place <= window).subquery()


def _row(score: Score) -> dict[str, Any]:
    row = {name: getattr(score, name) for name in _NAMES}
    inside = dict(score.inside) if score.inside is not None else None
    held = {f"inside_{p}": inside[f"{p}"]["displayed"] if inside else None for p in SUMMED_LEVELS}
    return row | {"inside": inside, **held}


def _score(row: Row[Any]) -> Score:
    return Score(**{name: getattr(row, name) for name in _NAMES})
