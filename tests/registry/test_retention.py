"""Versions go by what is needed in the moment when they go, and however many they are it is asked for once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, event

from app.registry import aliases, retention, versions
from tests.api.rows import NOW
from tests.registry.models import a_version


def register(tx: Connection, ticker: str, *fitted_at: str | None) -> None:
    """Register a version for each, with a network that was pooled then, or one of its own."""
    for when in fitted_at:
        version = a_version(ticker, versions.reserve_number(tx, ticker))
        pooled = {"pooled": {"fitted_at": when}} if when else {}
        versions.register(tx, replace(version, order={**version.order, **pooled}))


def statements(tx: Connection, numbers: Sequence[int]) -> list[str]:
    """Forget the versions; return what the database was asked."""
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(statement)

    event.listen(tx, "before_cursor_execute", note)
    retention.forget_versions(tx, "AAA", numbers)
    event.remove(tx, "before_cursor_execute", note)
    return asked


def test_many_versions_go_by_as_many_questions_as_one(database):
    with database.write() as tx:
        register(tx, "AAA", *[None] * 40)
        aliases.point(tx, "AAA", "champion", 40, by="x", reason="y", now=NOW)
        assert len(statements(tx, [1])) == len(statements(tx, range(2, 40)))
        assert versions.count(tx) == 1


def test_the_newest_pooled_network_stays_when_a_newer_one_is_deleted_in_the_last_moment(database):
    with database.write() as tx:
        register(tx, "AAA", "2026-01-01", "2026-01-02", None)
        register(tx, "BBB", "2026-01-03")
        surplus = retention.surplus_versions(tx, keep=1)
        assert surplus == {"AAA": [1, 2]}
        versions.delete(tx, "BBB", 1)
        assert set(retention.forget_versions(tx, "AAA", surplus["AAA"])) == {1}
