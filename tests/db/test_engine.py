from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import JSON, literal, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError

from app.db import engine
from app.db.engine import Database, sqlite_notice
from app.db.json_ready import json_ready
from app.db.tables import counters, idempotency_keys
from app.errors import StoreUnavailable

INCREMENT = """
import sys
from sqlalchemy import select, update
from app.db.engine import Database
from app.db.tables import counters
database = Database(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with database.write() as tx:
        value = tx.execute(select(counters.c.value).where(counters.c.name == "n").with_for_update()).scalar_one()
        tx.execute(update(counters).where(counters.c.name == "n").values(value=value + 1))
database.close()
"""


def counter(database: Database) -> int | None:
    with database.read() as tx:
        return tx.execute(select(counters.c.value).where(counters.c.name == "n")).scalar_one_or_none()


def test_a_transaction_commits_at_its_end(database):
    with database.write() as tx:
        tx.execute(counters.insert().values(name="n", value=1))
    assert counter(database) == 1


def test_an_error_rolls_everything_back(database):
    with pytest.raises(RuntimeError), database.write() as tx:
        tx.execute(counters.insert().values(name="n", value=1))
        raise RuntimeError
    assert counter(database) is None


def test_a_read_transaction_sees_one_moment(database):
    with database.write() as tx:
        tx.execute(counters.insert().values(name="n", value=1))
    with database.read() as tx:
        query = select(counters.c.value)
        assert tx.execute(query).scalar_one() == 1
        with database.write() as other:
            other.execute(counters.update().values(value=2))
        assert tx.execute(query).scalar_one() == 1
    assert counter(database) == 2


def test_a_read_transaction_cannot_write(database):
    with pytest.raises(StoreUnavailable, match="read-only"), database.read() as tx:
        tx.execute(counters.insert().values(name="n", value=1))
    assert counter(database) is None


def test_the_callers_own_mistakes_are_not_called_unavailable(database):
    with pytest.raises(DBAPIError), database.write() as tx:
        tx.execute(text("SELECT nothing FROM nowhere"))
    with pytest.raises(IntegrityError), database.write() as tx:
        tx.execute(counters.insert().values([{"name": "n", "value": 1}, {"name": "n", "value": 2}]))


@pytest.mark.slow
def test_four_processes_that_read_modify_and_write_lose_no_update(database, database_url):
    with database.write() as tx:
        tx.execute(counters.insert().values(name="n", value=0))
    command = [sys.executable, "-c", INCREMENT, database_url, "50"]
    assert [process.wait(60) for process in [subprocess.Popen(command) for _ in range(4)]] == [0] * 4
    assert counter(database) == 200


def test_threads_of_one_process_wait_for_each_other(database):
    def increment(_: int) -> None:
        with database.write() as tx:
            value = tx.execute(select(counters.c.value).with_for_update()).scalar_one()
            tx.execute(counters.update().values(value=value + 1))

    with database.write() as tx:
        tx.execute(counters.insert().values(name="n", value=0))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(40)))
    assert counter(database) == 40


def test_a_file_locked_for_too_long_is_unavailable(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_MILLISECONDS", 50)
    database = Database(f"sqlite:///{tmp_path / 'morrow.db'}")
    database.upgrade()
    blocker = sqlite3.connect(tmp_path / "morrow.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked") as caught, database.write():
        pytest.fail("the lock was not taken")
    assert caught.value.retryable
    blocker.close()
    with database.write() as tx:
        tx.execute(counters.insert().values(name="n", value=1))
    database.close()


def test_a_connection_that_is_in_use_at_the_close_is_closed_when_it_comes_back(database):
    for transaction in (database.read, database.write):
        with transaction() as tx:
            used = tx.connection.dbapi_connection
            database.close()
            assert tx.execute(text("SELECT 1")).scalar_one() == 1
        with pytest.raises(Exception, match="closed"):
            used.execute("SELECT 1")


def test_a_file_that_is_gone_is_not_written_to_though_it_is_open(tmp_path: Path):
    file = tmp_path / "morrow.db"
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    with database.write() as tx:
        tx.execute(counters.insert().values(name="n", value=1))
    file.rename(tmp_path / "aside")
    for transaction in (database.read, database.write, database.read):
        with pytest.raises(StoreUnavailable, match="is gone"), transaction():
            pytest.fail("nobody would ever read what is written now")
    assert not file.exists()
    file.touch()
    with pytest.raises(StoreUnavailable, match="another file"), database.read():
        pytest.fail("that is another registry")
    (tmp_path / "aside").rename(file)
    assert counter(database) == 1
    database.close()


def test_a_file_that_the_disk_does_not_let_us_look_at_is_unavailable_until_it_does(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    database = Database(f"sqlite:///{home / 'morrow.db'}")
    database.upgrade()
    home.rename(tmp_path / "aside")
    home.symlink_to(home)  # a look at it fails, and not because it is gone
    for transaction in (database.read, database.write):
        with pytest.raises(StoreUnavailable, match="cannot be reached"), transaction():
            pytest.fail("nobody knows which file that would be")
    home.unlink()
    (tmp_path / "aside").rename(home)
    assert database.revision_ok()
    database.close()


def test_a_thread_that_waits_too_long_for_its_turn_is_told_so(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_MILLISECONDS", 50)
    database = Database(f"sqlite:///{tmp_path / 'morrow.db'}")
    database.upgrade()

    def write() -> None:
        with database.write():
            pytest.fail("two transactions write at once")

    with ThreadPoolExecutor(1) as pool, database.write():
        outcome = pool.submit(write).exception()
    assert isinstance(outcome, StoreUnavailable)
    database.close()


def test_a_full_disk_is_unavailable_and_loses_nothing(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'morrow.db'}")
    database.upgrade()
    with database.write() as tx:
        tx.execute(counters.insert().values(name="n", value=1))
        tx.execute(text("PRAGMA max_page_count = 1"))  # from here on the file cannot grow
    with pytest.raises(StoreUnavailable, match="full"), database.write() as tx:
        answer = {"blob": "x" * 1_000_000}
        row = {"principal": "p", "key": "k", "fingerprint": "f", "answer": answer, "created_at": datetime.now(UTC)}
        tx.execute(idempotency_keys.insert().values(row))
    assert counter(database) == 1
    database.close()


def test_sqlite_is_set_up_for_many_processes(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'morrow.db'}")
    with database.write() as tx:
        pragmas = {n: tx.execute(text(f"PRAGMA {n}")).scalar_one() for n in ("journal_mode", "synchronous")}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}
        assert tx.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
        assert tx.execute(text("PRAGMA busy_timeout")).scalar_one() == 15000
    database.close()


def test_times_come_back_in_utc_and_naive_ones_are_refused(database):
    noon_in_tokyo = datetime(2026, 11, 20, 12, tzinfo=timezone(timedelta(hours=9)))
    row = {"principal": "p", "key": "k", "fingerprint": "f", "answer": {}, "created_at": noon_in_tokyo}
    with database.write() as tx:
        tx.execute(idempotency_keys.insert().values(row))
        found = tx.execute(select(idempotency_keys.c.created_at)).scalar_one()
    assert found == noon_in_tokyo
    assert found.utcoffset() == timedelta(0)
    with pytest.raises(StatementError, match="time zone"), database.write() as tx:
        tx.execute(idempotency_keys.insert().values({**row, "created_at": datetime(2026, 11, 20)}))  # noqa: DTZ001 - meant


def test_nan_is_never_stored_as_json(database):
    row = {"principal": "p", "key": "k", "fingerprint": "f", "created_at": datetime.now(UTC)}
    with pytest.raises((ValueError, OperationalError, StatementError), match="JSON compliant"), database.write() as tx:
        tx.execute(idempotency_keys.insert().values({**row, "answer": {"x": float("nan")}}))


def test_what_json_cannot_hold_is_made_ready_for_it():
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    value = {"loss": float("nan"), "path": [1, 2.5, float("inf"), True, None, "x"], 3: (moment,)}
    assert json_ready(value) == {
        "loss": None,
        "path": [1, 2.5, None, True, None, "x"],
        "3": ["2026-11-20 00:00:00+00:00"],
    }


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        *[((3, 6, 23), False), ((3, 7, 0), True), ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False)],
        *[((3, 45, 0), True), ((3, 50, 6), True), ((3, 50, 7), False), ((3, 51, 2), True), ((3, 51, 3), False)],
        ((3, 53, 0), False),
    ],
)
def test_a_sqlite_that_may_damage_the_file_is_noticed(version, affected):
    notice = sqlite_notice(version)
    assert (notice is not None) == affected
    assert notice is None or ".".join(map(str, version)) in notice


@pytest.mark.parametrize("value", [0.1, 1e-300, 2**63, 1.0, True, None, "\u00e4\u2028", [1, [2.5, []]]], ids=repr)
def test_json_comes_back_as_it_went_in(database, value):
    with database.read() as tx:
        (found,) = tx.execute(select(literal([value], JSON))).scalar_one()
    assert (found, type(found)) == (value, type(value))
