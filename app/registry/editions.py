"""The edition: a number that grows with every change that can alter what is answered about forecasts.

A stored forecast, a moved alias, a deleted version, a price source gone or back: the functions that
make such a change draw a new edition themselves, in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from app.db.counting import add
from app.db.tables import counters

_EDITION = "edition"


def next_edition(tx: Connection) -> str:
    """Draw a new edition; until the transaction ends nobody else can draw one."""
    return str(add(tx, _EDITION))


def hold(tx: Connection) -> int:
    """Return the present edition, and let nobody else draw one until the transaction ends."""
    held = select(counters.c.value).where(counters.c.name == _EDITION).with_for_update()
    return tx.execute(held).scalar_one_or_none() or 0


def current(tx: Connection) -> int:
    """Return the present edition, 0 before the first."""
    return tx.execute(select(counters.c.value).where(counters.c.name == _EDITION)).scalar_one_or_none() or 0
