"""Which version an alias such as ``champion`` points to, and every change of it there ever was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from app.db.tables import alias_history, aliases, versions
from app.db.upsert import insert
from app.domain.version import AliasChange
from app.errors import NoSuchAlias
from app.registry.editions import next_edition
from app.registry.tickers import lock, set_next_update
from app.registry.versions import get

_CHANGE = tuple(column for column in alias_history.c if column.name != "change_id")


ROLLBACK = "rollback"
"""The reason of a change that takes others back."""


def current(tx: Connection, ticker: str, alias: str) -> int | None:
    """Return the version that the alias points to, ``None`` when there is no such alias."""
    pointed = select(aliases.c.version).where(aliases.c.ticker == ticker, aliases.c.alias == alias)
    return tx.execute(pointed).scalar_one_or_none()


def all_aliases(tx: Connection, ticker: str) -> dict[str, int]:
    """Return the ticker's aliases and the versions they point to."""
    rows = tx.execute(select(aliases.c.alias, aliases.c.version).where(aliases.c.ticker == ticker).order_by("alias"))
    return {row.alias: row.version for row in rows}


def aliased(tx: Connection, tickers: Sequence[str]) -> list[tuple[str, str, int]]:
    """Return every ``(ticker, alias, version)`` of ``tickers``, in order."""
    pointed = select(aliases.c.ticker, aliases.c.alias, aliases.c.version).where(aliases.c.ticker.in_(tickers))
    return [(row.ticker, row.alias, row.version) for row in tx.execute(pointed.order_by("ticker", "alias"))]


def count(tx: Connection, alias: str) -> int:
    """Return how many tickers have a version that carries ``alias``."""
    return tx.execute(select(func.count()).select_from(aliases).where(aliases.c.alias == alias)).scalar_one()


def point(tx: Connection, ticker: str, alias: str, version: int, *, by: str, reason: str, now: datetime) -> AliasChange:
    """Point the alias to a version of the ticker; a new edition begins, and the ticker is due for a refresh.

    To compare before (``If-Match``), call ``tickers.lock`` and ``current`` first in the same transaction.

    Raises:
        NoModelYet, NoSuchVersion: the version is not there.
    """
    lock(tx, ticker)
    get(tx, ticker, version)
    before = current(tx, ticker, alias)
    pointed = insert(tx, aliases).values(ticker=ticker, alias=alias, version=version)
    tx.execute(pointed.on_conflict_do_update(index_elements=["ticker", "alias"], set_={"version": version}))
    change = AliasChange(
        ticker=ticker, alias=alias, version=version, previous=before, changed_at=now, changed_by=by, reason=reason
    )
    return _recorded(tx, change)


def remove(tx: Connection, ticker: str, alias: str, *, by: str, reason: str, now: datetime) -> AliasChange:
    """Take the alias away; its history stays, a new edition begins, and the ticker is due for a refresh.

    Raises:
        NoSuchAlias: the ticker has no such alias.
    """
    lock(tx, ticker)
    before = current(tx, ticker, alias)
    if before is None:
        raise NoSuchAlias(f"No version of {ticker} is {alias}.", ticker=ticker, alias=alias)
    tx.execute(aliases.delete().where(aliases.c.ticker == ticker, aliases.c.alias == alias))
    change = AliasChange(
        ticker=ticker, alias=alias, version=None, previous=before, changed_at=now, changed_by=by, reason=reason
    )
    return _recorded(tx, change)


def history(tx: Connection, ticker: str, alias: str, *, as_of: datetime | None = None) -> list[AliasChange]:
    """Return the alias's changes, newest first; with ``as_of`` only those made by then."""
    changes = select(*_CHANGE).where(alias_history.c.ticker == ticker, alias_history.c.alias == alias)
    if as_of is not None:
        changes = changes.where(alias_history.c.changed_at <= as_of)
    rows = tx.execute(changes.order_by(alias_history.c.change_id.desc()))
    return [AliasChange(**row._mapping) for row in rows]


def previous(tx: Connection, ticker: str, alias: str) -> int | None:
    """Return the version that the alias pointed to before the present one, the first of those ``earlier``."""
    return next(iter(earlier(tx, ticker, alias)), None)


def earlier(tx: Connection, ticker: str, alias: str) -> list[int]:
    """Return the versions that the alias pointed to before the present one, the last first; those that still exist.

    The history is read like an undo list: 1, 2, 3 and rolled back to 2 leaves 1 as the one before; but 1, 2, 3 and
    pointed to 1 leaves 3.
    """
    trail: list[int | None] = []
    for change in reversed(history(tx, ticker, alias)):
        if change.reason == ROLLBACK:
            while trail and trail[-1] != change.version:
                trail.pop()
        if not trail or trail[-1] != change.version:
            trail.append(change.version)
    present = set(tx.execute(select(versions.c.number).where(versions.c.ticker == ticker)).scalars())
    undone = dict.fromkeys(reversed(trail[:-1]))
    return [number for number in undone if number is not None and number in present and number != trail[-1]]


def _recorded(tx: Connection, change: AliasChange) -> AliasChange:
    tx.execute(alias_history.insert().values({column.name: getattr(change, column.name) for column in _CHANGE}))
    # What answers now was not refreshed while no alias pointed to it.
    set_next_update(tx, change.ticker, None)
    next_edition(tx)
    return change
