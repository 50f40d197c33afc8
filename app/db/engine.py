"""One database per process: short write transactions that never lose an update, and read-only ones beside them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, OperationalError

from app.db.migrate import head_revision, present_revision, upgrade
from app.db.trouble import StoreErrors
from app.errors import CorruptRecord, StoreUnavailable

BUSY_MILLISECONDS = 15_000
# Pydantic's parser takes half the time of the standard one, and most of what a page of a list takes is reading JSON.
_JSON = {
    "json_serializer": partial(json.dumps, allow_nan=False, ensure_ascii=False, separators=(",", ":")),
    "json_deserializer": from_json,
}

# A server that is gone without a word (a switch that broke, a host without power) is given up after these, and not
# after the quarter of an hour that TCP would wait. https://www.postgresql.org/docs/current/libpq-connect.html
_POSTGRES = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# Nobody waits longer for a row than on SQLite, nor holds one when its host has gone within a transaction.
_POSTGRES_SESSION = (
    f"SET lock_timeout = {BUSY_MILLISECONDS}",
    f"SET idle_in_transaction_session_timeout = {4 * BUSY_MILLISECONDS}",
)


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
        self._file = Path(str(parsed.database)) if self.dialect == "sqlite" else None
        self._opened: int | None = None  # the file, by its number
        self._errors = StoreErrors()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end and rolls back on any error.

        Raises:
            StoreUnavailable: locked for too long, full, read-only or away; the same call may succeed later.
        """
        self._require_file()
        with self._errors.turned(), self._writer.begin() as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction that sees one moment of the database and never waits for writers.

        Raises:
            StoreUnavailable: the database is away; the same call may succeed later.
        """
        self._require_file()
        with self._errors.turned(), self._reader.begin() as tx:
            yield tx

    def now(self, tx: Connection) -> datetime | None:
        """Return the server's present as aware UTC, later with every call; ``None`` from SQLite, which has no clock."""
        if self.dialect == "sqlite":
            return None
        present: datetime = tx.execute(select(func.clock_timestamp())).scalar_one()
        return present.astimezone(UTC)

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

    def check(self) -> None:
        """Look through the whole SQLite file; PostgreSQL looks after its own.

        Raises:
            CorruptRecord: the file is damaged; restore a backup.
        """
        if self.dialect != "sqlite":
            return
        with self.read() as tx:
            said = tx.exec_driver_sql("PRAGMA quick_check").scalars().first()
            strays = tx.exec_driver_sql("PRAGMA foreign_key_check").first()
        if said != "ok" or strays is not None:
            raise CorruptRecord(f"The database file is damaged: {said if said != 'ok' else 'rows refer to nothing'}.")

    def tidy(self, *, compact: bool = False) -> None:
        """Let SQLite refresh what its planner knows and give back its log; ``compact`` gives back free pages too.

        To compact takes as much free disk as the file is large, and keeps writers waiting. PostgreSQL does all by
        itself.

        Raises:
            StoreUnavailable: the database is locked for too long, or the disk is full.
        """
        if self.dialect != "sqlite":
            return
        statements = ("PRAGMA optimize", *(("VACUUM",) if compact else ()), "PRAGMA wal_checkpoint(TRUNCATE)")
        with self._errors.turned():
            connection = self._writer.raw_connection()  # none of these may stand in a transaction
            try:
                for statement in statements:
                    connection.cursor().execute(statement).fetchall()
            except sqlite3.Error as error:
                raise OperationalError(None, None, error) from error
            finally:
                connection.close()

    def _require_file(self) -> None:
        """Refuse to go on with a file that was removed: what open connections write there, nobody will ever read."""
        if self._file is None:
            return
        try:
            present = self._file.stat().st_ino
        except FileNotFoundError:
            present = None
        except OSError as error:
            raise StoreUnavailable(f"The registry {self._file} cannot be reached: {error.strerror}.") from error
        self._opened = self._opened or present
        if present != self._opened:
            detail = f"The registry {self._file} is gone, or another file is in its place."
            raise StoreUnavailable(f"{detail} Bring it back, or start this process again for the other one.")

    def close(self) -> None:
        """Close all connections; one that a thread still uses, as soon as it comes back."""
        for engine in (self._writer, self._reader):
            pool = engine.pool
            engine.dispose()
            event.listen(pool, "checkin", _close_late)


def _close_late(connection: Any, _record: Any) -> None:
    if connection is not None:
        connection.close()


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
    except (ArgumentError, ValueError):  # the latter where the port is no number, and it quotes the address
        raise StoreUnavailable("The database URL cannot be read.") from None
    if parsed.get_backend_name() == "postgresql" and "@" in f"{parsed.host or ''}{parsed.database or ''}":
        # The first one ends the password: what is left of it would be the host, of which drivers tell the log.
        raise StoreUnavailable("The database URL cannot be read: write an @ of the password as %40.")
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
    writer = create_engine(url, **_JSON, connect_args=_POSTGRES, pool_pre_ping=True, pool_size=5, max_overflow=15)

    def connected(dbapi: Any, _record: Any) -> None:
        with dbapi.cursor() as cursor:
            for setting in _POSTGRES_SESSION:
                cursor.execute(setting)
        dbapi.commit()

    event.listen(writer, "connect", connected)
    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return writer, reader
