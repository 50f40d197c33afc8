"""Rows on their way from one database to another, or into a file: any table, any revision, either dialect.

The tables are those that the database has, not those that the program knows. JSON travels as the text that it is kept
as, so that not a byte of it changes; times, dates and truth values travel as what they mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    TableClause,
    Text,
    cast,
    column,
    func,
    select,
    table,
    text,
)
from sqlalchemy.types import NullType, TypeEngine

from app.db.column_types import UtcDateTime

ROWS_AT_ONCE = 500
_REVISIONS = "alembic_version"
_MODULUS = 1 << 256

#: A row as JSON can hold it, in the order of the columns.
Row = Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A table's name and, in their order, its columns by name with the kind of each."""

    name: str
    columns: Mapping[str, str]


class Digest:
    """Counts rows and sums up their hashes: equal for the same rows in whatever order."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, line: bytes) -> None:
        """Take a row, as ``line_of`` writes it, into account."""
        self.rows += 1
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(line).digest())) % _MODULUS

    @property
    def checksum(self) -> str:
        """The sum so far, in hexadecimal digits."""
        return f"{self._sum:064x}"


def shapes(tx: Connection) -> list[Shape]:
    """Return the tables that there are, each behind those that its foreign keys refer to."""
    found = MetaData()
    found.reflect(tx)
    known = [one for one in found.sorted_tables if one.name != _REVISIONS]
    return [Shape(name=one.name, columns={c.name: _kind(c) for c in one.columns}) for one in known]


def rows_of(tx: Connection, shape: Shape) -> Iterator[Row]:
    """Return all rows of the table, in the order of its key."""
    source = _table(shape)
    chosen = [_readable(source.c[name], kind) for name, kind in shape.columns.items()]
    keys = [source.c[name] for name in _key(tx, shape.name)]
    wanted = select(*chosen).select_from(source).order_by(*keys).execution_options(yield_per=ROWS_AT_ONCE)
    with tx.execute(wanted) as result:
        for row in result:
            yield [value.isoformat() if isinstance(value, date) else value for value in row]


def write_rows(tx: Connection, shape: Shape, rows: Iterable[Row]) -> None:
    """Insert the rows as ``rows_of`` gave them."""
    parsers = [_PARSE.get(kind) for kind in shape.columns.values()]
    names = list(shape.columns)
    insert = _table(shape).insert()
    left = iter(rows)
    while some := [_parameters(names, parsers, row) for row in islice(left, ROWS_AT_ONCE)]:
        tx.execute(insert, some)


def line_of(row: Row) -> bytes:
    """Return the row as one line of JSON: equal rows are equal lines."""
    return json.dumps(row, separators=(",", ":")).encode()


def digest_of(tx: Connection, shape: Shape) -> Digest:
    """Read the table and return what it holds, as a digest."""
    found = Digest()
    for row in rows_of(tx, shape):
        found.add(line_of(row))
    return found


def lock_all(tx: Connection, known: Sequence[Shape]) -> None:
    """Let nobody else write until the transaction ends; on SQLite one that writes has that lock already."""
    if tx.dialect.name == "postgresql" and known:
        names = ", ".join(_quoted(tx, shape.name) for shape in known)
        tx.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))


def first_with_rows(tx: Connection) -> str | None:
    """Return the name of a table that is not empty, ``None`` when all are, or there are none."""
    for shape in shapes(tx):
        if tx.execute(select(func.count()).select_from(_table(shape))).scalar_one():
            return shape.name
    return None


def set_sequences(tx: Connection, known: Sequence[Shape]) -> None:
    """Let numbers that the database draws itself go on behind the largest that is there."""
    if tx.dialect.name != "postgresql":
        return  # SQLite draws the largest of a table and one
    for shape in known:
        for name in (name for name, kind in shape.columns.items() if kind == "int"):
            drawn_from = select(func.pg_get_serial_sequence(_quoted(tx, shape.name), name))
            sequence = tx.execute(drawn_from).scalar_one()
            largest = tx.execute(select(func.max(_table(shape).c[name]))).scalar_one() if sequence else None
            if largest is not None:
                tx.execute(select(func.setval(sequence, largest)))


def _kind(of: Column[Any]) -> str:
    for kind, types in _KINDS.items():
        if isinstance(of.type, types):
            return kind
    raise NotImplementedError(f"{of.table.name}.{of.name}: nothing here carries a {of.type!r}")


_KINDS: dict[str, tuple[type[TypeEngine[Any]], ...]] = {
    "json": (JSON,),
    "time": (DateTime,),
    "date": (Date,),
    "bool": (Boolean,),
    "float": (Float,),
    "int": (Integer,),
    "text": (String,),
}
# Without a type of its own JSON is bound as it stands: with one, it would be written anew.
_TYPES: dict[str, TypeEngine[Any]] = {
    "json": NullType(),
    "time": UtcDateTime(),
    "date": Date(),
    "bool": Boolean(),
    "float": Float(53),
    "int": Integer(),
    "text": Text(),
}
_PARSE: dict[str, Callable[[str], Any]] = {"time": datetime.fromisoformat, "date": date.fromisoformat}


def _readable(of: ColumnElement[Any], kind: str) -> ColumnElement[Any]:
    return cast(of, Text) if kind == "json" else of


def _table(shape: Shape) -> TableClause:
    return table(shape.name, *(column(name, _TYPES[kind]) for name, kind in shape.columns.items()))


def _key(tx: Connection, name: str) -> list[str]:
    return [c.name for c in Table(name, MetaData(), autoload_with=tx, resolve_fks=False).primary_key]


def _parameters(names: Sequence[str], parsers: Sequence[Callable[[str], Any] | None], row: Row) -> dict[str, Any]:
    return {
        name: value if parse is None or value is None else parse(value)
        for name, parse, value in zip(names, parsers, row, strict=True)
    }


def _quoted(tx: Connection, name: str) -> str:
    return tx.dialect.identifier_preparer.quote(name)
