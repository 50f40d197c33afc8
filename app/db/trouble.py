"""Errors of the drivers that mean «not now», as errors of this program."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
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
_LOG = structlog.get_logger(__name__)


class StoreErrors:
    """Turns errors that waiting or an operator can cure into ``StoreUnavailable``; lets all others pass.

    PostgreSQL's own words tell of addresses and users, so they go into the log alone, once until something else is to
    be said; callers read a sentence of ours.
    """

    def __init__(self) -> None:
        self._said = ""

    @contextmanager
    def turned(self) -> Iterator[None]:
        """Turn the errors of one transaction.

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
            self._log(error)
            raise StoreUnavailable(f"The database is unavailable. {why}") from error
        self._said = ""

    def _log(self, error: DBAPIError) -> None:
        words = str(error.orig).strip().partition("\n")[0]
        if not isinstance(error.orig, sqlite3.Error) and words != self._said:
            self._said = words
            _LOG.warning("database_unavailable", reason=words)


def _reason(error: DBAPIError) -> str | None:
    """Say why the database is unavailable, or ``None`` when the statement itself is at fault."""
    origin = error.orig
    if isinstance(origin, sqlite3.Error):
        code = getattr(origin, "sqlite_errorcode", None)
        return None if code is None else _SQLITE_CODES.get(code & 0xFF)
    state = getattr(origin, "sqlstate", None)
    if state == _POSTGRES_READ_ONLY:
        return "It is read-only."
    if error.connection_invalidated or isinstance(error, OperationalError):
        return (
            f"It refuses (SQLSTATE {state}); the log says why." if state else "No connection to it; the log says why."
        )
    return None
