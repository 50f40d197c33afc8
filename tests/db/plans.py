"""How SQLite would go about the statements of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event


def query_plans(tx: Connection, call: Callable[[], Any]) -> list[str]:
    """Run ``call`` and return the plan of every statement it sent over ``tx``, one text each."""
    sent: list[tuple[str, Any]] = []

    def note(connection, cursor, statement, parameters, context, executemany):
        sent.append((statement, parameters))

    event.listen(tx, "before_cursor_execute", note)
    call()
    event.remove(tx, "before_cursor_execute", note)
    return [
        " | ".join(row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
        for statement, parameters in sent
    ]
