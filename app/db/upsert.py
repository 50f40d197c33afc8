"""``INSERT … ON CONFLICT``, which both databases know and SQLAlchemy keeps per dialect."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert(tx: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert with ``on_conflict_do_nothing`` and ``on_conflict_do_update`` for this connection."""
    # By name: a process needs the dialect of its own database alone, and has loaded it.
    dialect = import_module(f"sqlalchemy.dialects.{tx.dialect.name}")
    made: sqlite.Insert | postgresql.Insert = dialect.insert(table)
    return made
