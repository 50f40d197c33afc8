"""What became of the jobs that ended lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, cast, extract, func, select

from app.db.tables import jobs

#: So many are looked at, the newest: a scrape may not take longer after a busy hour.
MOST = 1000

_DAY_SECONDS = 86_400
_CODE = func.coalesce(jobs.c.error["code"].as_string(), "")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one kind of job: how many ended so; ``code`` is their error's, empty where there was none.

    ``mean_seconds`` and ``longest_seconds`` are of their last attempts, ``None`` when none of them began.
    """

    kind: str
    state: str
    code: str
    count: int
    mean_seconds: float | None
    longest_seconds: float | None


def outcomes(tx: Connection, *, since: datetime) -> list[Outcome]:
    """Return what became of the ``MOST`` newest jobs that ended at ``since`` or later."""
    ended = select(jobs.c.kind, jobs.c.state, _CODE.label("code"), _seconds(tx).label("seconds"))
    # The limit also keeps SQLite from going through all jobs in the order of the groups.
    newest = ended.where(jobs.c.finished_at >= since).order_by(jobs.c.finished_at.desc()).limit(MOST).subquery()
    keys = (newest.c.kind, newest.c.state, newest.c.code)
    counts = (func.count(), func.avg(newest.c.seconds), func.max(newest.c.seconds))
    rows = tx.execute(select(*keys, *counts).group_by(*keys).order_by(*keys))
    return [
        Outcome(kind=kind, state=state, code=error, count=count, mean_seconds=mean, longest_seconds=longest)
        for kind, state, error, count, mean, longest in rows
    ]


def _seconds(tx: Connection) -> ColumnElement[Any]:
    """How long the last attempt took: the two databases have no common words for it."""
    if tx.dialect.name == "sqlite":
        began, ended = (func.julianday(column, type_=Double) for column in (jobs.c.started_at, jobs.c.finished_at))
        return (ended - began) * _DAY_SECONDS
    return cast(extract("epoch", jobs.c.finished_at - jobs.c.started_at), Double)
