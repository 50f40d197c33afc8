"""Every version of every ticker: registered once, then only marked when its files are damaged, and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    exists,
    func,
    select,
    update,
)

from app.db.tables import aliases, tickers, versions
from app.domain.version import ModelVersion
from app.errors import AliasInUse, NoModelYet, NoSuchVersion
from app.registry.editions import next_edition
from app.registry.readable import readable
from app.registry.rows import FIELDS, to_row, to_version
from app.registry.tickers import ensure, lock

_COLUMNS = tuple(versions.c[name] for name in FIELDS)


def reserve_number(tx: Connection, ticker: str) -> int:
    """Draw the ticker's next version number; none is ever drawn twice, deleted versions or not."""
    ensure(tx, ticker)
    counted = update(tickers).where(tickers.c.ticker == ticker).values(last_number=tickers.c.last_number + 1)
    number: int = tx.execute(counted.returning(tickers.c.last_number)).scalar_one()
    return number


def register(tx: Connection, version: ModelVersion) -> None:
    """Make a version known, under a number that was reserved and whose bundle is published."""
    tx.execute(versions.insert().values(to_row(version)))


def get(tx: Connection, ticker: str, number: int) -> ModelVersion:
    """Return one version.

    Raises:
        NoModelYet: the ticker has no version at all; train one.
        NoSuchVersion: it has others; list them.
        CorruptRecord: somebody mangled it; delete it.
    """
    found = _read(tx, select(*_COLUMNS).where(*_is(ticker, number)), ticker)
    if found:
        return found[0]
    if newest(tx, ticker) is None:
        raise NoModelYet(f"{ticker} has no model yet.", ticker=ticker)
    raise NoSuchVersion(f"{ticker} has no version {number}.", ticker=ticker, version=number)


def note_damage(tx: Connection, ticker: str, number: int, *, at: datetime | None) -> None:
    """Note that the version's files were found damaged ``at``, or with ``None`` that they are in order.

    Of damage that is known already, the moment stays.
    """
    known = versions.c.damaged_at.is_not(None)
    wrong = known if at is None else ~known
    tx.execute(update(versions).where(*_is(ticker, number), wrong).values(damaged_at=at))


def newest(tx: Connection, ticker: str) -> ModelVersion | None:
    """Return the ticker's version with the highest number."""
    newest_first = select(*_COLUMNS).where(versions.c.ticker == ticker).order_by(versions.c.number.desc())
    return next(iter(_read(tx, newest_first.limit(1), ticker)), None)


def newest_pooled(tx: Connection, ticker: str | None = None) -> ModelVersion | None:
    """Return a version, of any ticker or of one, that holds the pooled network which was fitted last."""
    fitted_at = versions.c.order["pooled"]["fitted_at"].as_string()
    asked = () if ticker is None else (versions.c.ticker == ticker,)
    newest = select(*_COLUMNS).where(fitted_at.is_not(None), *asked)
    newest = newest.order_by(fitted_at.desc(), versions.c.ticker, versions.c.number.desc()).limit(1)
    row = tx.execute(newest).mappings().one_or_none()
    return to_version(row) if row else None


def all_tickers(tx: Connection) -> list[str]:
    """Return every ticker that has a version, in order."""
    return tickers_after(tx, after=None, limit=None)


def tickers_after(tx: Connection, *, after: str | None, limit: int | None) -> list[str]:
    """Return the tickers behind ``after`` that have a version, in order."""
    trained = exists().where(versions.c.ticker == tickers.c.ticker)
    page = select(tickers.c.ticker).where(trained).order_by(tickers.c.ticker).limit(limit)
    return list(tx.execute(page if after is None else page.where(tickers.c.ticker > after)).scalars())


def served(tx: Connection, names: Sequence[str]) -> list[ModelVersion]:
    """Return the versions of the tickers ``names`` that aliases point to, and the newest of each, in order."""
    newest = select(versions.c.ticker, func.max(versions.c.number)).where(versions.c.ticker.in_(names))
    pointed = select(aliases.c.ticker, aliases.c.version).where(aliases.c.ticker.in_(names))
    keys = {(name, n) for some in (newest.group_by(versions.c.ticker), pointed) for name, n in tx.execute(some)}
    return [get(tx, name, number) for name, number in sorted(keys)]


def delete(tx: Connection, ticker: str, number: int) -> str:
    """Forget a version and return where its bundle lies, for the caller to delete after the commit.

    Raises:
        NoModelYet, NoSuchVersion: it is not there.
        AliasInUse: an alias points to it; point that elsewhere first.
    """
    lock(tx, ticker)
    location = get(tx, ticker, number).location
    names = tx.execute(
        select(aliases.c.alias).where(aliases.c.ticker == ticker, aliases.c.version == number).order_by("alias")
    )
    _refuse_if_aliased(ticker, list(names.scalars()))
    tx.execute(versions.delete().where(*_is(ticker, number)))
    next_edition(tx)
    return location


def delete_ticker(tx: Connection, ticker: str) -> list[str]:
    """Forget all versions of a ticker and return where their bundles lie.

    Raises:
        NoModelYet: the ticker has no version.
        AliasInUse: an alias of the ticker exists; take it away first.
    """
    lock(tx, ticker)
    names = tx.execute(select(aliases.c.alias).where(aliases.c.ticker == ticker).order_by("alias"))
    _refuse_if_aliased(ticker, list(names.scalars()))
    gone = versions.delete().where(versions.c.ticker == ticker).returning(versions.c.location)
    found = list(tx.execute(gone).scalars())
    if not found:
        raise NoModelYet(f"{ticker} has no model yet.", ticker=ticker)
    next_edition(tx)
    return sorted(found)


def locations(tx: Connection) -> set[str]:
    """Return where the bundles of all versions lie."""
    return set(tx.execute(select(versions.c.location)).scalars())


def count(tx: Connection) -> int:
    """Return how many versions there are."""
    return tx.execute(select(func.count()).select_from(versions)).scalar_one()


def _read(tx: Connection, wanted: Select[Any], ticker: str) -> list[ModelVersion]:
    with readable(f"A version of {ticker}", ticker=ticker):
        return [to_version(row) for row in tx.execute(wanted).mappings()]


def _is(ticker: str, number: int) -> tuple[ColumnElement[bool], ...]:
    return versions.c.ticker == ticker, versions.c.number == number


def _refuse_if_aliased(ticker: str, names: list[str]) -> None:
    if names:
        raise AliasInUse(f"{ticker} is still served as {', '.join(names)}.", ticker=ticker, aliases=names)
