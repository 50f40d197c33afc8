"""The edition: a number that grows with every change that can alter what is answered about forecasts.

A stored forecast, a moved alias, a deleted version, a price source gone or back: the functions that
make such a change draw a new edition themselves, in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from app.db.tables import counters
from app.db.upsert import insert

_EDITION = "edition"


def next_edition(tx: Connection) -> str:
    """Draw a new edition; until the transaction ends nobody else can draw one."""
    first = insert(tx, counters).values(name=_EDITION, value=1)
    drawn = first.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    return str(tx.execute(drawn.returning(counters.c.value)).scalar_one())


def hold(tx: Connection) -> int:
    """Return the present edition, and let nobody else draw one until the transaction ends."""
    held = select(counters.c.value).where(counters.c.name == _EDITION).with_for_update()
    return tx.execute(held).scalar_one_or_none() or 0


def current(tx: Connection) -> int:
    """Return the present edition, 0 before the first."""
    return tx.execute(select(counters.c.value).where(counters.c.name == _EDITION)).scalar_one_or_none() or 0
