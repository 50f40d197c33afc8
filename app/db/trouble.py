"""Errors of the drivers that mean «not now», as errors of this program."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import StoreUnavailable

_SQLITE_CODES = {
    sqlite3.SQLITE_BUSY: "It is locked by another process.",
    sqlite3.SQLITE_LOCKED: "It is locked by another connection.",
    sqlite3.SQLITE_READONLY: "It is read-only.",
    sqlite3.SQLITE_IOERR: "The disk reports an error.",
    sqlite3.SQLITE_CORRUPT: "The file is damaged: restore a backup.",
    sqlite3.SQLITE_FULL: "The disk is full.",
    sqlite3.SQLITE_CANTOPEN: "The file cannot be opened: does its folder exist, and is it ours?",
    sqlite3.SQLITE_PERM: "Access is denied.",
    sqlite3.SQLITE_NOTADB: "The file is not a SQLite database.",
}
_POSTGRES_READ_ONLY = "25006"


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors that waiting or an operator can cure into ``StoreUnavailable``; let all others pass.

    Raises:
        StoreUnavailable: the database is locked, full, read-only, damaged or away; try again later.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable("The database is unavailable: all connections are busy.") from error
    except DBAPIError as error:
        why = _reason(error)
        if why is None:
            raise
        raise StoreUnavailable(f"The database is unavailable. {why}") from error


def _reason(error: DBAPIError) -> str | None:
    """Say why the database is unavailable, or ``None`` when the statement itself is at fault."""
    origin = error.orig
    if isinstance(origin, sqlite3.Error):
        code = getattr(origin, "sqlite_errorcode", None)
        return None if code is None else _SQLITE_CODES.get(code & 0xFF)
    if error.connection_invalidated or isinstance(error, OperationalError):
        return str(origin).strip().partition("\n")[0]
    return "It is read-only." if getattr(origin, "sqlstate", None) == _POSTGRES_READ_ONLY else None
