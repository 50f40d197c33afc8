"""What was issued cannot be changed, taken away or added to without its being seen."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Connection, text

from app.db import tables
from app.db.engine import Database
from app.registry import chain, editions, forecasts
from app.registry.chain import Fault
from tests.registry.models import FRIDAY, NOON, a_forecast, after


@pytest.fixture
def issued(database: Database) -> Database:
    """Six forecasts, issued in the order of their names."""
    with database.write() as tx:
        for number in range(6):
            issue(tx, f"f{number}", number)
    return database


def issue(tx: Connection, name: str, number: int) -> None:
    day = FRIDAY - timedelta(days=number)
    forecasts.store(tx, a_forecast(name, as_of_session=day, issued_at=after(-number), edition="1"))


def fault_after(database: Database, tamper: Callable[[Connection], object]) -> Fault | None:
    with database.write() as tx:
        tamper(tx)
    with database.read() as tx:
        return chain.verify(tx).fault


def sql(statement: str, **values: object) -> Callable[[Connection], object]:
    return lambda tx: tx.execute(text(statement), values)


def rewrite(tx: Connection, name: str, **changes: object) -> None:
    body = forecasts.get_many(tx, [name])[name].to_dict() | changes
    tx.execute(tables.forecasts.update().where(tables.forecasts.c.forecast_id == name).values(body=body))


def test_what_was_issued_holds_together(issued: Database) -> None:
    with issued.read() as tx:
        verified = chain.verify(tx)
        last = tx.execute(text("SELECT hash FROM forecast_chain WHERE sequence = 6")).scalar_one()
    assert (verified.count, verified.fault) == (6, None)
    assert verified.head == last


def test_an_empty_record_holds(database: Database) -> None:
    with database.read() as tx:
        assert chain.verify(tx) == chain.Verified(count=0, head=chain.GENESIS, fault=None)


def test_a_link_is_the_hash_of_the_one_before_and_of_the_body(issued: Database) -> None:
    with issued.read() as tx:
        rows = tx.execute(text("SELECT hash FROM forecast_chain ORDER BY sequence")).scalars().all()
        bodies = [forecasts.get_many(tx, [f"f{number}"])[f"f{number}"].to_dict() for number in range(6)]
    previous = "0" * 64
    for body, linked in zip(bodies, rows, strict=True):
        assert linked == chain.link(previous, json.loads(json.dumps(body)))
        previous = linked


@pytest.mark.parametrize(
    "change",
    [
        lambda tx: rewrite(tx, "f2", last_close=413.3),
        sql("UPDATE forecasts SET issued_at = :at WHERE forecast_id = 'f2'", at=str(NOON - timedelta(days=1))),
        sql("UPDATE forecasts SET version = 2 WHERE forecast_id = 'f2'"),
        sql("UPDATE forecasts SET edition = '9' WHERE forecast_id = 'f2'"),
        sql("UPDATE forecasts SET body = '[]' WHERE forecast_id = 'f2'"),
        sql("UPDATE forecasts SET body = 'null' WHERE forecast_id = 'f2'"),
        sql("UPDATE forecast_chain SET hash = :zeros WHERE forecast_id = 'f2'", zeros="0" * 64),
    ],
)
def test_a_forecast_that_was_altered_is_named(issued: Database, change: Callable[[Connection], object]) -> None:
    assert fault_after(issued, change) == Fault(what="altered", sequence=3, forecast_id="f2")


def test_the_first_of_several_that_were_altered_is_named(issued: Database) -> None:
    change = sql("UPDATE forecasts SET edition = '9' WHERE forecast_id IN ('f4', 'f1', 'f3')")
    assert fault_after(issued, change) == Fault(what="altered", sequence=2, forecast_id="f1")


def test_a_forecast_that_was_removed_is_named(issued: Database) -> None:
    change = sql("DELETE FROM forecasts WHERE forecast_id = 'f3'")
    assert fault_after(issued, change) == Fault(what="removed", sequence=4, forecast_id="f3")


@pytest.mark.parametrize("number", [0, 3, 5])
def test_a_forecast_that_was_removed_with_its_link_leaves_a_gap(issued: Database, number: int) -> None:
    def remove(tx: Connection) -> None:
        for table in ("forecasts", "forecast_chain"):
            tx.execute(text(f"DELETE FROM {table} WHERE forecast_id = 'f{number}'"))

    assert fault_after(issued, remove) == Fault(what="removed", sequence=number + 1, forecast_id=None)


def test_a_gap_that_was_closed_by_counting_anew_breaks_the_chain_behind_it(issued: Database) -> None:
    def remove(tx: Connection) -> None:
        for table in ("forecasts", "forecast_chain"):
            tx.execute(text(f"DELETE FROM {table} WHERE forecast_id = 'f2'"))
        for sequence in (4, 5, 6):
            tx.execute(text(f"UPDATE forecast_chain SET sequence = {sequence - 1} WHERE sequence = {sequence}"))
        tx.execute(text("UPDATE counters SET value = 5 WHERE name = 'forecasts'"))

    assert fault_after(issued, remove) == Fault(what="altered", sequence=3, forecast_id="f3")


def test_a_forecast_that_was_inserted_is_named(issued: Database) -> None:
    copied = (
        "INSERT INTO forecasts (forecast_id, ticker, version, as_of_session, issued_at, edition, body) "
        "SELECT 'forged', ticker, version, as_of_session, issued_at, edition, body FROM forecasts "
        "WHERE forecast_id = 'f2'"
    )
    assert fault_after(issued, sql(copied)) == Fault(what="inserted", sequence=None, forecast_id="forged")


def test_a_forecast_that_was_inserted_with_a_link_breaks_the_chain(issued: Database) -> None:
    def forge(tx: Connection) -> None:
        body = a_forecast("forged", edition="1").to_dict()
        previous = tx.execute(text("SELECT hash FROM forecast_chain WHERE sequence = 3")).scalar_one()
        for sequence in (6, 5, 4):
            tx.execute(text(f"UPDATE forecast_chain SET sequence = {sequence + 1} WHERE sequence = {sequence}"))
        values = {"hash": chain.link(previous, body)}
        tx.execute(text("INSERT INTO forecast_chain VALUES (4, 'forged', :hash)"), values)
        copied = (
            "INSERT INTO forecasts (forecast_id, ticker, version, as_of_session, issued_at, edition, body) "
            "VALUES ('forged', 'AAPL', 1, :day, :at, '1', :body)"
        )
        shown = {"day": str(FRIDAY), "at": NOON.isoformat(sep=" "), "body": json.dumps(body)}
        tx.execute(text(copied), shown)
        tx.execute(text("UPDATE counters SET value = 7 WHERE name = 'forecasts'"))

    fault = fault_after(issued, forge)
    assert fault is not None and fault.sequence in (4, 5)


def test_the_same_forecast_again_is_no_second_link(issued: Database) -> None:
    with issued.write() as tx:
        issue(tx, "f5", 5)
        assert chain.verify(tx).count == 6


@pytest.mark.parametrize("begun", [False, True], ids=["an empty record", "a record"])
def test_writers_at_once_make_one_chain(database: Database, begun: bool) -> None:
    """All are inside a transaction, with nothing locked, before any of them stores: the record itself must hold."""
    if begun:
        with database.write() as tx:
            forecasts.store(tx, a_forecast("before").published(editions.next_edition(tx), now=NOON))
    together = threading.Barrier(3)

    def write(name: str) -> None:
        for number in range(5):
            together.wait(timeout=30)
            with database.write() as tx:
                if database.dialect == "postgresql":  # SQLite lets one writer begin at a time
                    tx.execute(text("SELECT 1"))
                    together.wait(timeout=30)
                forecasts.store(tx, a_forecast(f"{name}{number}"))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, "abc"))
    with database.read() as tx:
        verified = chain.verify(tx)
    assert (verified.count, verified.fault) == (15 + begun, None)
