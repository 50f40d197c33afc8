"""One database per process: short write transactions that never lose an update, and read-only ones beside them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from app.db.migrate import head_revision, present_revision, upgrade
from app.db.trouble import store_errors
from app.errors import StoreUnavailable

BUSY_MILLISECONDS = 15_000
# Pydantic's parser takes half the time of the standard one, and most of what a page of a list takes is reading JSON.
_JSON = {
    "json_serializer": partial(json.dumps, allow_nan=False, ensure_ascii=False, separators=(",", ":")),
    "json_deserializer": from_json,
}


class Database:
    """The registry's database: SQLite in a file (``sqlite:///…``) or PostgreSQL (``postgresql+psycopg://…``).

    SQLite takes the write lock at ``BEGIN``: with its default a read-modify-write loses updates.
    Keep transactions short; the next writer waits for up to 15 seconds.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self.dialect = parsed.get_backend_name()
        engines = _sqlite_engines if self.dialect == "sqlite" else _postgres_engines
        self._writer, self._reader = engines(parsed)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end and rolls back on any error.

        Raises:
            StoreUnavailable: locked for too long, full, read-only or away; the same call may succeed later.
        """
        with store_errors(), self._writer.begin() as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction that sees one moment of the database and never waits for writers.

        Raises:
            StoreUnavailable: the database is away; the same call may succeed later.
        """
        with store_errors(), self._reader.begin() as tx:
            yield tx

    def upgrade(self) -> None:
        """Bring the schema to this program's revision; several processes may do so at the same moment.

        Raises:
            StoreUnavailable: no database can be opened at the URL; the detail says why.
        """
        with self.write() as tx:
            upgrade(tx)

    def revision_ok(self) -> bool:
        """Whether the schema is the one that this program was written for.

        Raises:
            StoreUnavailable: the database is away.
        """
        with self.read() as tx:
            return present_revision(tx) == head_revision()

    def close(self) -> None:
        """Close all connections."""
        self._writer.dispose()
        self._reader.dispose()


def sqlite_notice(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str | None:
    """Return a warning when this SQLite may corrupt a WAL database that several processes write to.

    Source: https://www.sqlite.org/wal.html#walresetbug
    """
    fixed = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if fixed or version < (3, 7, 0):
        return None
    name = ".".join(map(str, version))
    return f"SQLite {name} has the WAL-reset bug: in rare cases it damages the file. Use 3.51.3 or later."


def _parse(url: str) -> URL:
    """Read the URL and refuse what cannot hold the registry."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreUnavailable("The database URL cannot be read.") from None
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise StoreUnavailable(f"No database of kind {parsed.drivername!r}: use sqlite:/// or postgresql+psycopg://.")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreUnavailable("The SQLite database must be a file: several processes share it.")
    return parsed


def _sqlite_engines(url: URL) -> tuple[Engine, Engine]:
    # One writing connection: the threads of a process queue up fairly instead of polling for the file's lock.
    writer = create_engine(url, **_JSON, pool_size=1, max_overflow=0, pool_timeout=BUSY_MILLISECONDS / 1000)
    reader = create_engine(url, **_JSON, pool_size=8, max_overflow=32)
    _prepare(writer, "journal_mode=WAL", "synchronous=FULL", begin="BEGIN IMMEDIATE")
    _prepare(reader, "query_only=ON", begin="BEGIN")
    return writer, reader


def _prepare(engine: Engine, *pragmas: str, begin: str) -> None:
    """Set up every connection of a SQLite engine; https://docs.sqlalchemy.org/en/21/dialects/sqlite.html."""

    def connected(dbapi: sqlite3.Connection, _record: Any) -> None:
        dbapi.isolation_level = None  # the driver must not begin transactions by its own rules
        for pragma in (f"busy_timeout={BUSY_MILLISECONDS}", "foreign_keys=ON", *pragmas):
            dbapi.execute(f"PRAGMA {pragma}")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


def _postgres_engines(url: URL) -> tuple[Engine, Engine]:
    writer = create_engine(url, **_JSON, pool_pre_ping=True, pool_size=5, max_overflow=15)
    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return writer, reader
