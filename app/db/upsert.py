"""``INSERT … ON CONFLICT``, which both databases know and SQLAlchemy keeps per dialect."""

from __future__ import annotations

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert(tx: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert with ``on_conflict_do_nothing`` and ``on_conflict_do_update`` for this connection."""
    return sqlite.insert(table) if tx.dialect.name == "sqlite" else postgresql.insert(table)
