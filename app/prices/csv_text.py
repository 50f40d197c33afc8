"""The text of a price file in, bars and refused rows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import MappingProxyType

import numpy as np

from app.domain.history import BAR_FIELDS, Bars, Floats, PriceHistory
from app.errors import InvalidBars, NotEnoughHistory
from app.prices.base import UPLOAD
from app.prices.csv_layout import Layout, Row, decode, extra_names, find_layout, rows_of
from app.prices.csv_values import NumberColumn, read_column, read_dates, uses_decimal_comma


@dataclass(frozen=True)
class RefusedRow:
    """A row that cannot be read: its line in the file, and why."""

    line: int
    reason: str


def read_bars(data: bytes, *, ticker: str) -> tuple[PriceHistory, list[RefusedRow]]:
    """Read the daily bars of ``ticker`` from CSV text as people's exports write it.

    Rows keep the order of the file; ``audit`` sorts them. A missing value is NaN. Columns beyond
    the bar fields are kept as ``extra`` when all their cells are numbers.

    Raises:
        InvalidBars: it is no table of daily bars of this ticker.
        NotEnoughHistory: there is a header, but no row.
    """
    text = decode(data)
    if not text.strip():
        raise NotEnoughHistory("The file is empty.", ticker=ticker, have=0, need=2)
    layout = find_layout(text, ticker=ticker)
    rows = [row for row in rows_of(layout, ticker=ticker) if not _is_remark(row, layout)]
    if not rows:
        raise NotEnoughHistory("The file has a header, but no row.", ticker=ticker, have=0, need=2)
    table = _Table(layout, rows)
    kept, refused = table.readable()
    if not kept:
        raise InvalidBars(f"No row can be read; line {refused[0].line}: {refused[0].reason}.", ticker=ticker, have=0)
    return PriceHistory(ticker=ticker, source=UPLOAD, bars=table.bars(kept)), refused


def _is_remark(row: Row, layout: Layout) -> bool:
    """Whether the row is a footnote: at most one cell is filled, and it is not a date with its values."""
    return len(layout.columns) > 2 and sum(map(bool, map(str.strip, row.cells))) <= 1


class _Table:
    """The rows of one ticker, read column by column."""

    def __init__(self, layout: Layout, rows: Sequence[Row]) -> None:
        self._columns = layout.columns
        self._extras = extra_names(layout)
        self._rows = rows
        self._dates = self._cells("date")
        self._days = read_dates(self._dates)
        cells = {name: self._cells(name) for name in BAR_FIELDS}
        self._decimal_comma = uses_decimal_comma(chain.from_iterable(cells.values()))
        self._fields = {name: self._read(column) for name, column in cells.items()}
        self._faults = {name: column.faults for name, column in self._fields.items() if column.faults}

    def readable(self) -> tuple[list[int], list[RefusedRow]]:
        """Return the positions of the rows that can be read, and the others with the reason."""
        kept: list[int] = []
        refused: list[RefusedRow] = []
        for n, row in enumerate(self._rows):
            reason = self._reason_against(n)
            if reason:
                refused.append(RefusedRow(row.line, reason))
            else:
                kept.append(n)
        return kept, refused

    def bars(self, kept: Sequence[int]) -> Bars:
        """Return the bars of the rows at the positions ``kept``."""
        sessions = np.array([self._days[n] for n in kept], dtype="datetime64[D]")
        fields = {name: column.values[kept] for name, column in self._fields.items()}
        extra = {name: values for name in self._extras if (values := self._extra(kept, name)) is not None}
        return Bars(sessions=sessions, extra=MappingProxyType(extra), **fields)

    def _reason_against(self, n: int) -> str | None:
        row = self._rows[n]
        if self._days[n] is None:
            return f"{self._dates[n][:30]!r} is not a date like the others"
        if len(row.cells) <= self._needed:
            return f"{len(row.cells)} cells where {max(self._columns.values()) + 1} are expected"
        return next((f"{name}: {faults[n]}" for name, faults in self._faults.items() if n in faults), None)

    @cached_property
    def _needed(self) -> int:
        """The last column without which a row says nothing."""
        return max(self._columns[name] for name in ("date", "close") if name in self._columns)

    def _extra(self, kept: Sequence[int], name: str) -> Floats | None:
        """Return a further column, ``None`` when it holds no numbers."""
        column = self._read(self._cells(name))
        values = column.values[kept]
        return None if not column.faults.keys().isdisjoint(kept) or np.isnan(values).all() else values

    def _read(self, cells: Sequence[str]) -> NumberColumn:
        return read_column(cells, decimal_comma=self._decimal_comma)

    def _cells(self, name: str) -> list[str]:
        column = self._columns.get(name)
        if column is None:
            return [""] * len(self._rows)
        return [row.cells[column] if column < len(row.cells) else "" for row in self._rows]
