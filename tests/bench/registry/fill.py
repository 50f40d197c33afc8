"""A registry of any size within minutes: one real ticker, copied by the database itself into the real tables."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from app.db.engine import Database
from app.db.tables import metadata
from app.domain.forecast import Forecast
from app.domain.version import ModelVersion
from app.jobs import leases, submission
from tests.bench.registry import seed

JOBS_A_VERSION = {"succeeded": 1.0, "queued": 1.0}

# Row by row through all tickers, one day after the other, as they come to be: a ticker's rows lie far apart.
_BY_DAY = ("forecasts", "forecast_chain", "scores")
_BY_TICKER = ("tickers", "versions", "aliases", "alias_history", "settlements", "drift", "score_sums")
_NAMES = "WITH RECURSIVE names(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM names WHERE n + 1 < :tickers)"
_NAME = "printf('T%05d', t.n)"
_ID = "printf('%08x', (t.n * 2654435761) & 4294967295) || substr(s.forecast_id, 9)"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is in a registry; versions and forecasts are shared out evenly among the tickers."""

    tickers: int
    versions: int
    forecasts: int

    def __str__(self) -> str:
        return f"{self.tickers:,} tickers, {self.versions:,} versions, {self.forecasts:,} forecasts"

    def share(self, share: float) -> Size:
        """Return this share of everything."""
        return Size(
            tickers=max(round(self.tickers * share), 1),
            versions=max(round(self.versions * share), 1),
            forecasts=max(round(self.forecasts * share), 1),
        )


def name_of(number: int) -> str:
    """Return the ticker of this number, from 0."""
    return f"T{number:05d}"


def fill(home: Path, size: Size, *, version: ModelVersion, forecast: Forecast) -> float:
    """Fill the registry of ``home``, as its owner would find it after two years; return the seconds it took.

    The chain over the forecasts has hashes that nobody computed: ``morrow verify`` would find the first one wrong.
    """
    home.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    _write_seed(home / "seed.db", size, version=version, forecast=forecast)
    database = Database(f"sqlite:///{home / 'morrow.db'}")
    database.upgrade()
    database.close()
    with closing(sqlite3.connect(home / "morrow.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-1000000")
        connection.execute("ATTACH :path AS seed", {"path": str(home / "seed.db")})
        with _without_indices(connection):
            _copy(connection, size)
    return time.perf_counter() - started


def _write_seed(path: Path, size: Size, *, version: ModelVersion, forecast: Forecast) -> None:
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    with database.write() as tx:
        each, days = size.versions // size.tickers, size.forecasts // size.tickers
        seed.live(tx, version, forecast, versions_each=each, days=days)
        _work(tx, version)
    database.close()


def _work(tx: Connection, version: ModelVersion) -> None:
    """Leave one job that is done and one that waits."""
    now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    for dedupe in ("done", "waits"):
        submission.submit(tx, kind="train", ticker=seed.TICKER, payload=version.order, dedupe=dedupe, now=now)
        if dedupe == "done":
            job = leases.claim(tx, owner="worker", lease_seconds=30, now=now)
            assert job is not None
            result = {"version": 1, "promoted": False, "reasons": list(version.scorecard["reasons"])}
            leases.succeed(tx, job.job_id, job.fence, result, now=now)


def _copy(connection: sqlite3.Connection, size: Size) -> None:
    connection.execute("BEGIN")
    for table in _BY_TICKER:
        connection.execute(_copied(table, size), {"tickers": size.tickers})
    for day in range(1, size.forecasts // size.tickers + 1):
        for table in _BY_DAY:
            connection.execute(f"{_copied(table, size)} WHERE s.rowid = :day", {"tickers": size.tickers, "day": day})
    summed = [column.name for column in metadata.tables["score_days"].c if not column.primary_key]
    times = ", ".join(f"{name} * {size.tickers}" for name in summed)
    connection.execute(f"INSERT INTO score_days SELECT origin, model, target_session, {times} FROM seed.score_days")
    connection.execute("INSERT INTO counters SELECT name, value FROM seed.counters WHERE name = 'edition'")
    connection.execute("INSERT INTO counters SELECT 'forecasts', max(sequence) FROM forecast_chain")
    for state, a_version in JOBS_A_VERSION.items():
        connection.execute(_jobs(state), {"tickers": max(round(size.versions * a_version), 1)})
    connection.execute("COMMIT")


def _copied(table: str, size: Size) -> str:
    """Return what copies the rows of the one ticker to all, with their names in it."""
    renamed = f"replace(s.{{}}, '\"{seed.TICKER}\"', '\"' || {_NAME} || '\"')"
    values = {
        "ticker": _NAME,
        "forecast_id": _ID,
        "sequence": f"(s.sequence - 1) * {size.tickers} + t.n + 1",
        "hash": "lower(hex(randomblob(32)))",
        "order": renamed.format('"order"'),
        "body": f"replace({renamed.format('body')}, s.forecast_id, {_ID})" if table == "forecasts" else "s.body",
        "location": "replace(s.location, substr(s.location, 1, 16), printf('%016x', t.n))",
    }
    columns = [column.name for column in metadata.tables[table].c if column.name != "change_id"]
    copied = ", ".join(values.get(name, f's."{name}"') for name in columns)
    into = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO main.{table} ({into}) {_NAMES} SELECT {copied} FROM seed.{table} s CROSS JOIN names t"


def _jobs(state: str) -> str:
    """Return what copies the job in this state, a second after the other."""
    values = {
        "job_id": "printf('%08x', (t.n * 2654435761) & 4294967295) || substr(s.job_id, 9)",
        "ticker": _NAME,
        "dedupe": f"'{state} ' || t.n",
        "priority": "t.n % 3",
        "created_at": "strftime('%Y-%m-%d %H:%M:%f', s.created_at, t.n || ' seconds') || '000'",
    }
    columns = [column.name for column in metadata.tables["jobs"].c]
    copied = ", ".join(values.get(name, f's."{name}"') for name in columns)
    return (
        f"INSERT INTO main.jobs ({', '.join(columns)}) {_NAMES} "
        f"SELECT {copied} FROM seed.jobs s CROSS JOIN names t WHERE s.state = '{state}'"
    )


@contextmanager
def _without_indices(connection: sqlite3.Connection) -> Iterator[None]:
    """Build the indices at the end: sorted at once, not row by row."""
    there = "SELECT name, sql FROM main.sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    indices = connection.execute(there).fetchall()
    for name, _ in indices:
        connection.execute(f'DROP INDEX "{name}"')
    yield
    for _, statement in indices:
        connection.execute(statement)
