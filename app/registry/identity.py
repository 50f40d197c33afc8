"""Which registry this is: a number that is drawn once and goes with its rows, into backups and other databases."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select

from app.db.tables import counters
from app.db.upsert import insert

_NAME = "registry"
_READ = select(counters.c.value).where(counters.c.name == _NAME)


def identity(tx: Connection) -> str | None:
    """Return the registry's number, ``None`` before it is drawn."""
    number = tx.execute(_READ).scalar_one_or_none()
    return None if number is None else str(number)


def drawn_identity(tx: Connection) -> str:
    """Return the registry's number, which is drawn now if it has none."""
    drawn = insert(tx, counters).values(name=_NAME, value=secrets.randbelow(2**31))
    tx.execute(drawn.on_conflict_do_nothing(index_elements=["name"]))
    return str(tx.execute(_READ).scalar_one())
