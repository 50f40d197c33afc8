"""A registry moves from one database to another: all of it or nothing, and compared at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from app.db.engine import Database
from app.db.migrate import present_revision, upgrade
from app.db.transfer import (
    Digest,
    Row,
    Shape,
    digest_of,
    first_with_rows,
    line_of,
    lock_all,
    rows_of,
    set_sequences,
    shapes,
    write_rows,
)
from app.errors import CorruptRecord, StoreUnavailable, TargetNotEmpty, WorkersAlive
from app.jobs import fleet
from app.keeping.progress import Report, silent
from app.registry import chain

SILENT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How many tables and rows were moved, and the forecasts whose chain holds at the target as at the source."""

    tables: int
    rows: int
    forecasts: int
    head: str


def move_registry(source: Database, target: Database, *, now: datetime, report: Report = silent) -> Moved:
    """Copy every row of ``source`` into the empty ``target``, in one transaction, and compare both at the end.

    Until it ends nobody else writes to the source, which stays as it is. Jobs that wait go on waiting at the target;
    one that a dead worker held comes back there when its lease is over.

    Raises:
        WorkersAlive: a worker was heard of within the last minute; stop all that use the source.
        TargetNotEmpty: the target holds rows; name an empty database.
        CorruptRecord: what arrived is not what was sent; nothing was kept of it.
        StoreUnavailable: a database is away, or the target's schema is of a newer program; nothing was kept.
    """
    with source.write() as tx, target.write() as to:
        _refuse_workers(tx, source.now(tx) or now)  # by the clock that they say it by
        refuse_rows(to)
        upgrade(to, present_revision(tx))
        known = shapes(tx)
        lock_all(tx, known)
        _refuse_other_shapes(known, shapes(to))
        rows = sum(_move(tx, to, shape, report) for shape in known)
        set_sequences(to, known)
        before, after = chain.verify(tx), chain.verify(to)
        if before != after:
            raise CorruptRecord("The chain of forecasts is not the same at the target; nothing was kept there.")
    return Moved(tables=len(known), rows=rows, forecasts=after.count, head=after.head)


def holds_the_same(source: Database, target: Database) -> bool:
    """Whether ``target`` has every row of ``source`` already, and no other.

    Raises:
        StoreUnavailable: a database is away.
    """
    with source.read() as tx, target.read() as there:
        if present_revision(tx) != present_revision(there):
            return False
        both = ((digest_of(tx, shape), digest_of(there, shape)) for shape in shapes(tx))
        return all((one.rows, one.checksum) == (other.rows, other.checksum) for one, other in both)


def refuse_rows(to: Connection) -> None:
    """Refuse a target that holds anything.

    Raises:
        TargetNotEmpty: it does; name an empty database.
    """
    if name := first_with_rows(to):
        raise TargetNotEmpty(f"The target is not empty: its table {name} has rows.", table=name)


def _refuse_workers(tx: Connection, now: datetime) -> None:
    alive = fleet.alive(tx, now=now, within_seconds=SILENT_SECONDS)
    if alive:
        names = [worker.worker_id for worker in alive]
        many = "1 worker is" if len(names) == 1 else f"{len(names)} workers are"
        detail = f"{many} alive; stop the whole service first. One that was killed is silent in a minute."
        raise WorkersAlive(detail, workers=names)


def _refuse_other_shapes(known: Sequence[Shape], there: Sequence[Shape]) -> None:
    wanted, found = ({shape.name: dict(shape.columns) for shape in some} for some in (known, there))
    if wanted != found:
        odd = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        raise StoreUnavailable(f"Source and target have other tables: {', '.join(odd)}.", tables=odd)


def _move(tx: Connection, to: Connection, shape: Shape, report: Report) -> int:
    sent = Digest()
    write_rows(to, shape, _told(rows_of(tx, shape), sent, f"Moving {shape.name}", report))
    require_same(shape, sent, digest_of(to, shape))
    return sent.rows


def _told(rows: Iterator[Row], sent: Digest, doing: str, report: Report) -> Iterator[Row]:
    for row in rows:
        sent.add(line_of(row))
        if sent.rows % 1000 == 0:
            report(doing, sent.rows, None)
        yield row
    report(doing, sent.rows, sent.rows)


def require_same(shape: Shape, sent: Digest, arrived: Digest) -> None:
    """Compare what was sent with what arrived.

    Raises:
        CorruptRecord: they differ; roll back.
    """
    if (sent.rows, sent.checksum) != (arrived.rows, arrived.checksum):
        detail = f"The rows of {shape.name} did not arrive as they were."
        raise CorruptRecord(detail, table=shape.name, have=arrived.rows, need=sent.rows)
