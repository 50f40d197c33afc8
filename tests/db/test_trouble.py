"""What is told of a PostgreSQL that refuses: a sentence of ours to callers, its own words to the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from app.db.engine import Database
from app.errors import StoreUnavailable
from tests.db.databases import SERVER, postgres_schema

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def refusal(database: Database, statement: str = "SELECT 1") -> str:
    with pytest.raises(StoreUnavailable) as caught, database.read() as tx:
        tx.exec_driver_sql(statement)
    return caught.value.detail


def reasons(logs: list) -> list[str]:
    return [line["reason"] for line in logs if line["event"] == "database_unavailable"]


@pytest.fixture
def server() -> Iterator[str]:
    yield from postgres_schema()


def test_of_a_server_that_is_away_callers_learn_no_address_and_the_log_does_once() -> None:
    with opened("postgresql+psycopg://nobody@127.0.0.1:1/nothing") as database, capture_logs() as logs:
        details = {refusal(database) for _ in range(3)}
    assert details == {"The database is unavailable. No connection to it; the log says why."}
    (reason,) = reasons(logs)
    assert "127.0.0.1" in reason


@pytest.mark.postgres
def test_of_a_server_that_lets_us_not_in_callers_learn_no_user(server: str) -> None:
    stranger = make_url(SERVER).set(username="stranger").render_as_string(hide_password=False)
    with opened(stranger) as database, capture_logs() as logs:
        assert refusal(database) == "The database is unavailable. No connection to it; the log says why."
    (reason,) = reasons(logs)
    assert "stranger" in reason


@pytest.mark.postgres
def test_what_a_server_refuses_later_is_told_by_its_code_and_logged_anew_after_it_answered(server: str) -> None:
    with opened(server) as database, capture_logs() as logs:
        for _ in range(2):
            told = refusal(database, "SET LOCAL statement_timeout = 10; SELECT pg_sleep(30)")
            assert told == "The database is unavailable. It refuses (SQLSTATE 57014); the log says why."
            with database.read() as tx:
                assert tx.exec_driver_sql("SELECT 1").scalar_one() == 1
    assert reasons(logs) == ["canceling statement due to statement timeout"] * 2
