"""Whether each remote source may be asked, as all processes of this registry know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, Row, select

from app.db.tables import source_state
from app.db.upsert import insert
from app.domain.breaker import Breaker

_COLUMNS = tuple(source_state.c[name] for name in ("state", "failures", "openings", "until", "code"))


def get(tx: Connection, source: str) -> Breaker:
    """Return the breaker of ``source``, closed before it was ever asked."""
    row = tx.execute(select(*_COLUMNS).where(source_state.c.source == source)).one_or_none()
    return _breaker(row) if row else Breaker()


def known(tx: Connection) -> dict[str, Breaker]:
    """Return the breakers of the sources that failed at least once."""
    return {row.source: _breaker(row) for row in tx.execute(select(source_state.c.source, *_COLUMNS))}


def change(tx: Connection, source: str, step: Callable[[Breaker], Breaker], *, now: datetime) -> Breaker:
    """Let ``step`` make the next breaker of the present one, with nobody in between; return the next."""
    first = insert(tx, source_state).values(source=source, changed_at=now, **asdict(Breaker()))
    tx.execute(first.on_conflict_do_nothing())
    own = source_state.c.source == source
    before = _breaker(tx.execute(select(*_COLUMNS).where(own).with_for_update()).one())
    after = step(before)
    if after != before:
        tx.execute(source_state.update().where(own).values(changed_at=now, **asdict(after)))
    return after


def _breaker(row: Row[tuple[str, int, int, datetime, str]]) -> Breaker:
    return Breaker(state=row.state, failures=row.failures, openings=row.openings, until=row.until, code=row.code)
