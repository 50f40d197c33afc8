"""Letting go of versions that nothing needs any more, and of bars that nothing refers to.

Forecasts and their scores are the live record: they stay, whatever becomes of the version that made them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select

from app.db.tables import counters, drift, scores, settlements, snapshots, versions
from app.db.upsert import insert
from app.domain.version import ModelVersion
from app.registry.aliases import all_aliases, previous
from app.registry.editions import next_edition
from app.registry.tickers import lock
from app.registry.versions import newest_pooled

_PRUNED = "pruned"
_IDS_AT_ONCE = 500


def claim_day(tx: Connection, now: datetime) -> bool:
    """Return whether nobody has pruned on the day of ``now``, in UTC, and note that it is done."""
    day = now.toordinal()
    claimed = insert(tx, counters).values(name=_PRUNED, value=day)
    newer = claimed.on_conflict_do_update(index_elements=["name"], set_={"value": day}, where=counters.c.value < day)
    return tx.execute(newer.returning(counters.c.value)).first() is not None


def surplus_versions(tx: Connection, *, keep: int) -> dict[str, list[int]]:
    """Return, by ticker, the numbers of versions beyond its newest ``keep`` that nothing needs.

    Needed are what an alias points to, what a rollback would bring back, and the newest pooled network.
    """
    age = func.row_number().over(partition_by=versions.c.ticker, order_by=versions.c.number.desc())
    placed = select(versions.c.ticker, versions.c.number, age.label("age")).subquery()
    old = select(placed.c.ticker, placed.c.number).where(placed.c.age > keep)
    surplus: dict[str, list[int]] = defaultdict(list)
    for ticker, number in tx.execute(old.order_by(placed.c.ticker, placed.c.number)):
        surplus[ticker].append(number)
    pooled = newest_pooled(tx) if surplus else None
    needed = {ticker: _needed(tx, ticker, pooled) for ticker in surplus}
    left = {ticker: [n for n in numbers if n not in needed[ticker]] for ticker, numbers in surplus.items()}
    return {ticker: numbers for ticker, numbers in left.items() if numbers}


def forget_versions(tx: Connection, ticker: str, numbers: Sequence[int]) -> dict[int, str]:
    """Forget those of the versions that are still not needed; return their numbers, and where their bundles lie.

    The files go after the commit: a crash between leaves files that no row names, never a row without its files.
    """
    lock(tx, ticker)
    newest = newest_pooled(tx, ticker)
    # To look through all tickers takes long; while this one's newest stays, none of its others is the newest of all.
    needed = _needed(tx, ticker, newest_pooled(tx) if newest and newest.number in numbers else None)
    gone = [number for number in numbers if number not in needed]
    found: dict[int, str] = {}
    for some in _parts(gone):
        own = versions.delete().where(versions.c.ticker == ticker, versions.c.number.in_(some))
        found |= {row.number: row.location for row in tx.execute(own.returning(versions.c.number, versions.c.location))}
        tx.execute(drift.delete().where(drift.c.ticker == ticker, drift.c.version.in_(some)))
    if found:
        next_edition(tx)
    return found


def unused_snapshots(tx: Connection, *, before: datetime, in_use: Set[str]) -> list[str]:
    """Return the snapshots last fetched before ``before`` that nothing refers to.

    Bars are referred to by the versions that learnt from them, alone or as a peer's, by the scores that were taken
    from them and by what was settled last; ``in_use`` are those of jobs under way. The newest of a ticker and source
    are what the next forecast is made of.
    """
    old = set(tx.execute(select(snapshots.c.snapshot_id).where(_old(before))).scalars())
    if not old:
        return []
    old -= in_use
    for data in tx.execute(select(versions.c.data)).scalars():
        old -= {data["snapshot_id"], *(data.get("peers") or {}).get("snapshots", {}).values()}
    for table in (settlements, scores):
        named = select(table.c.snapshot_id).where(table.c.snapshot_id.is_not(None)).distinct()
        old -= set(tx.execute(named).scalars())
    return sorted(old)


def forget_snapshots(tx: Connection, ids: Sequence[str], *, before: datetime) -> list[str]:
    """Forget those of the snapshots that nobody has fetched again; return them."""
    gone = snapshots.delete().where(snapshots.c.snapshot_id.in_(ids), _old(before))
    return sorted(tx.execute(gone.returning(snapshots.c.snapshot_id)).scalars())


def _needed(tx: Connection, ticker: str, pooled: ModelVersion | None) -> set[int]:
    """What the ticker's aliases point to and would be rolled back to, and ``pooled`` when it is of the ticker."""
    pointed = all_aliases(tx, ticker)
    before = (previous(tx, ticker, alias) for alias in pointed)
    adopted = {pooled.number} if pooled and pooled.ticker == ticker else set()
    return {*pointed.values(), *(number for number in before if number is not None), *adopted}


def _old(before: datetime) -> ColumnElement[bool]:
    """Whether the bars were last fetched before then, and newer ones of the ticker and source have come since."""
    newer = snapshots.alias("newer")
    same = and_(newer.c.ticker == snapshots.c.ticker, newer.c.source == snapshots.c.source)
    overtaken = exists().where(same, newer.c.fetched_at > snapshots.c.fetched_at)
    return and_(snapshots.c.fetched_at < before, overtaken)


def _parts(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    return (numbers[start : start + _IDS_AT_ONCE] for start in range(0, len(numbers), _IDS_AT_ONCE))
