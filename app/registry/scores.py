"""What came of every forecast, one row a step; the only table about forecasts whose rows change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, literal, select, update

from app.db.tables import scores
from app.domain.score import PENDING, SCORED, Score
from app.registry.readable import readable
from app.registry.score_sums import SUMMED_LEVELS, followed, newest_sessions, of_model

_NAMES = tuple(field.name for field in fields(Score))
_COLUMNS = tuple(scores.c[name] for name in _NAMES)
_KEY = ("forecast_id", "step", "field")
_IDS_AT_ONCE = 500

#: Steps that no actual is known of. Written into the statement, not bound: only so the planner sees that an index fits.
OPEN = scores.c.state != literal(SCORED, literal_execute=True)


def waiting(by: date) -> ColumnElement[bool]:
    """Return the condition that a step waits for its score, and that what it foretold should have come ``by`` a day."""
    return and_(OPEN, scores.c.state == PENDING, scores.c.target_session <= by)


def expect(tx: Connection, awaited: Iterable[Score]) -> None:
    """Let the steps of a new forecast wait for what comes."""
    tx.execute(scores.insert(), [_row(score) for score in awaited])


def settle(tx: Connection, settled: Sequence[Score]) -> None:
    """Write down what came, over what was known before; the caller holds the ticker."""
    if not settled:
        return
    changed = [name for name in _row(settled[0]) if name not in _KEY]
    same = and_(*(scores.c[name] == bindparam(f"key_{name}") for name in _KEY))
    rows = [_row(score) for score in settled]
    with followed(tx, settled):
        tx.execute(
            update(scores).where(same).values({name: bindparam(f"new_{name}") for name in changed}),
            [
                {f"key_{name}": row[name] for name in _KEY} | {f"new_{name}": row[name] for name in changed}
                for row in rows
            ],
        )


def sources_due(tx: Connection, ticker: str, *, by: date) -> list[str]:
    """Return the sources by whose bars something was forecast of the ticker that should have come ``by`` that day."""
    due = select(scores.c.source).distinct().where(scores.c.ticker == ticker, waiting(by)).order_by(scores.c.source)
    return list(tx.execute(due).scalars())


def up_to(tx: Connection, ticker: str, source: str, *, until: date, since: date | None) -> list[Score]:
    """Return the steps forecast of the ticker by bars of ``source`` up to the session ``until``, by target session.

    Those that no actual is known of, and all of ``since`` or later (``None``: no others).
    """
    own = (scores.c.ticker == ticker, scores.c.source == source, scores.c.target_session <= until)
    wanted = [select(*_COLUMNS).where(*own, OPEN)]
    wanted += [] if since is None else [select(*_COLUMNS).where(*own, scores.c.target_session >= since)]
    with readable(f"The record of {ticker}"):
        rows = {row[:3]: _score(row) for some in wanted for row in tx.execute(some)}
    return sorted(rows.values(), key=lambda score: (score.target_session, score.forecast_id, score.step, score.field))


def awaited(tx: Connection, *, until: date) -> list[str]:
    """Return the tickers with a step of a session up to ``until`` that waits for its score, in ticker order."""
    due = select(scores.c.ticker).distinct().where(waiting(until)).order_by(scores.c.ticker)
    return list(tx.execute(due).scalars())


def of_forecasts(tx: Connection, ids: Sequence[str]) -> dict[tuple[str, int, str], Score]:
    """Return the steps of the forecasts of these ids by ``(forecast_id, step, field)``."""
    found = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = select(*_COLUMNS).where(scores.c.forecast_id.in_(ids[start : start + _IDS_AT_ONCE]))
        for row in tx.execute(some):
            found[row.forecast_id, row.step, row.field] = _score(row)
    return found


def record(tx: Connection, *, origin: str, ticker: str, version: int | None, window: int) -> list[Score]:
    """Return the settled first steps of a model's leading target, one of each of its last ``window`` sessions.

    Oldest first; ``version`` ``None`` is the baseline. Of several forecasts of one session the one issued last counts.
    """
    model = of_model(origin, ticker, version)
    rows = select(*_COLUMNS).where(*model, newest_sessions(model, window))
    rows = rows.order_by(scores.c.target_session, scores.c.issued_at, scores.c.forecast_id)
    with readable(f"The record of {ticker}"):
        return list({row.target_session: _score(row) for row in tx.execute(rows)}.values())


def _row(score: Score) -> dict[str, Any]:
    row = {name: getattr(score, name) for name in _NAMES}
    inside = dict(score.inside) if score.inside is not None else None
    held = {f"inside_{p}": inside[f"{p}"]["displayed"] if inside else None for p in SUMMED_LEVELS}
    return row | {"inside": inside, **held}


def _score(row: Row[Any]) -> Score:
    return Score(**dict(zip(_NAMES, row, strict=True)))
