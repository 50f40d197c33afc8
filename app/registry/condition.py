"""How the registry's tickers fare altogether: what an alarm looks at, in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, case, func, or_, select

from app.db.tables import tickers, versions


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Over the ``served`` tickers, those with a version.

    ``degraded`` of them had no answer from their source at the last refresh. ``silent`` have lacked bars for so many
    sessions that they are asked once a day; the rest counts over the others: ``late_sessions`` closed without a bar,
    at the last refresh, and ``overdue_seconds`` since a bar was due that no forecast knows of, both at most.
    """

    served: int
    degraded: int
    silent: int
    late_sessions: int
    overdue_seconds: float


def condition(tx: Connection, *, silent_sessions: int, now: datetime) -> Condition:
    """Return how the tickers fare; one is silent after more than ``silent_sessions`` without a bar."""
    column = tickers.c
    speaks = or_(column.late_sessions.is_(None), column.late_sessions <= silent_sessions)
    # Before the first refresh after a training, the plan is all there is.
    due_at = func.coalesce(column.bar_due_at, column.next_update_at)
    statement = select(
        func.count().label("served"),
        func.sum(case((column.source_ok.is_(False), 1), else_=0)).label("degraded"),
        func.sum(case((speaks, 0), else_=1)).label("silent"),
        func.max(case((speaks, column.late_sessions))).label("late"),
        func.min(case((and_(speaks, due_at <= now), due_at))).label("due_at"),
    ).where(select(versions.c.number).where(versions.c.ticker == column.ticker).exists())
    row = tx.execute(statement).one()
    return Condition(
        served=row.served,
        degraded=row.degraded or 0,
        silent=row.silent or 0,
        late_sessions=row.late or 0,
        overdue_seconds=(now - row.due_at).total_seconds() if row.due_at else 0.0,
    )
