"""``INSERT … ON CONFLICT``, which both databases know and SQLAlchemy keeps per dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert(tx: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert with ``on_conflict_do_nothing`` and ``on_conflict_do_update`` for this connection."""
    if tx.dialect.name == "sqlite":
        # Here and not above: a process needs the dialect of its own database alone.
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    # Here and not above: as that of SQLite.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
