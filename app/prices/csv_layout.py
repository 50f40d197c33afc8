"""The shape of a price file: its encoding, its header row, and which column is which."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.history import BAR_FIELDS
from app.errors import InvalidBars

_NAMES = {
    "date": (
        "date",
        "datetime",
        "date_time",
        "day",
        "session",
        "trading_day",
        "trade_date",
        "timestamp",
        "time",
        "unix",
    ),
    "open": ("open", "open_price", "opening_price", "first"),
    "high": ("high", "high_price", "max"),
    "low": ("low", "low_price", "min"),
    "close": ("close", "close_last", "price", "last", "close_price", "closing_price", "last_price", "settle"),
    "adj_close": ("adj_close", "adjclose", "adjusted_close", "adj_closing_price", "close_adj"),
    "volume": ("volume", "vol", "volume_btc", "volume_eth", "shares_traded", "total_volume"),
    "ticker": ("ticker", "symbol", "stock", "code", "name"),
}
_HEADER_DEPTH = 20


@dataclass(frozen=True)
class Row:
    """The cells of one record and the line of the file it ends on."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Layout:
    """Where the fields are: ``columns`` maps ``date``, the bar fields, ``ticker`` and extras to positions."""

    columns: dict[str, int]
    rows: list[Row]


def decode(data: bytes) -> str:
    """Turn the bytes of a file into text.

    Raises:
        InvalidBars: the bytes are no text, or the text is a web page or JSON.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    start = text.lstrip()[:2000].lower()
    if start.startswith(("<!doctype html", "<html")) or re.search(r"<(head|body|div|script)\b", start):
        raise InvalidBars("This is an HTML page, not CSV: the download saved a web page.", have=0)
    if start.startswith(("{", "[")):
        raise InvalidBars("This is JSON, not CSV.", have=0)
    if "\x00" in text:
        raise InvalidBars("This is a binary file, not CSV.", have=0)
    return text


def find_layout(text: str, *, ticker: str) -> Layout:
    """Find the header among the first lines and the columns that hold the bars of ``ticker``.

    Raises:
        InvalidBars: no header with a date and a close, or several columns claim the same field.
    """
    for delimiter in sorted(",;\t|", key=text[:2000].count, reverse=True):
        rows = _rows(text, delimiter)
        layout = _stacked_header(rows, ticker) or _plain_header(rows)
        if layout:
            return layout
    first = text.lstrip()[:60].splitlines()
    raise InvalidBars(
        f"No header with a date and a close was found; the file begins with {first[0] if first else ''!r}.", have=0
    )


def _rows(text: str, delimiter: str) -> list[Row]:
    """Return the rows with something in them, none when they cannot be told apart by ``delimiter``."""
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)  # any line ends, the old Mac's too
    try:
        return [Row(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error:  # such as a cell beyond the reader's limit
        return []


def _plain_header(rows: Sequence[Row]) -> Layout | None:
    """Find one header row."""
    for n, row in enumerate(rows[:_HEADER_DEPTH]):
        columns = _columns([_key(cell) for cell in row.cells], first=rows[n + 1].cells if n + 1 < len(rows) else [])
        if "date" in columns and ("close" in columns or "adj_close" in columns):
            return Layout(columns, list(rows[n + 1 :]))
    return None


def _stacked_header(rows: Sequence[Row], ticker: str) -> Layout | None:
    """Find the two or three header rows that yfinance writes: fields, tickers, and perhaps the word Date."""
    if len(rows) < 2 or _key(rows[1].cells[0]) not in {"ticker", "symbol"}:
        return None
    owners = [cell.strip().upper() for cell in rows[1].cells[1:]]
    if ticker not in owners:
        raise _other_tickers(ticker, owners)
    # The first cell of the first row is the name of the level, such as Price; below it are the dates.
    keys = ["date", *(_key(c) if o == ticker else "" for c, o in zip(rows[0].cells[1:], owners, strict=False))]
    body = 3 if len(rows) > 2 and not any(cell.strip() for cell in rows[2].cells[1:]) else 2
    return Layout(_columns(keys, first=[]), list(rows[body:]))


def rows_of(layout: Layout, *, ticker: str) -> list[Row]:
    """Return the rows that belong to ``ticker``, where the file names tickers; else all.

    Raises:
        InvalidBars: the file names other tickers only.
    """
    column = layout.columns.get("ticker")
    if column is None:
        return layout.rows
    names = [row.cells[column].strip().upper() if column < len(row.cells) else "" for row in layout.rows]
    found = sorted({name for name in names if name})
    for wanted in (_squeezed(ticker), _squeezed(ticker.partition(".")[0])):
        for shorten in (_squeezed, lambda name: _squeezed(name.partition(".")[0])):
            if wanted in map(shorten, found):
                return [row for row, name in zip(layout.rows, names, strict=True) if shorten(name) == wanted]
    if len(found) <= 1 and " " in "".join(found):
        return layout.rows  # one company's full name beside every row names no other ticker
    raise _other_tickers(ticker, found)


def _other_tickers(ticker: str, found: Sequence[str]) -> InvalidBars:
    names = sorted(set(found))[:10]
    return InvalidBars(
        f"The file holds no rows of {ticker}; it names {', '.join(names)}.", ticker=ticker, found=names, have=0
    )


def _columns(keys: Sequence[str], *, first: Sequence[str]) -> dict[str, int]:
    """Map fields to positions; what is not known by name is kept under its own.

    ``first`` is the first row below, to recognise dates under an empty heading.

    Raises:
        InvalidBars: two columns have the same heading.
    """
    columns: dict[str, int] = {}
    for name, aliases in _NAMES.items():
        present = [alias for alias in aliases if alias in keys]
        if present:
            if keys.count(present[0]) > 1:
                raise InvalidBars(f"Two columns are named {present[0]!r}.", field=name, have=keys.count(present[0]))
            columns[name] = keys.index(present[0])
    if (
        "date" not in columns
        and keys
        and keys[0] in {"", "unnamed_0", "index"}
        and re.search(r"\d\D\d", "".join(first[:1]))
    ):
        columns["date"] = 0
    for position, key in enumerate(keys):
        if key and position not in columns.values() and key not in columns and not key.startswith("unnamed"):
            columns[key] = position
    return columns


def extra_names(layout: Layout) -> list[str]:
    """Return the columns beside date, ticker and the bar fields, in the order of the file."""
    return [name for name in layout.columns if name not in {"date", "ticker", *BAR_FIELDS}]


def _key(heading: str) -> str:
    """Turn ``Close/Last``, ``<DATE>`` or ``Adj Close**`` into ``close_last``, ``date``, ``adj_close``."""
    return re.sub(r"[^a-z0-9]+", "_", heading.strip().lower()).strip("_")


def _squeezed(name: str) -> str:
    """Leave out what exports write differently: ``BTC/USD`` and ``BTC-USD`` are one."""
    return re.sub(r"[^A-Z0-9]", "", name.upper())
