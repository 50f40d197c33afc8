"""Prices from a folder of CSV files, one a ticker, named ``<TICKER>.csv``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from app.domain.history import PriceHistory
from app.errors import InvalidBars, NotEnoughHistory, SourceUnavailable, UnknownTicker
from app.prices.base import finished, require_ticker
from app.prices.csv_text import RefusedRow, read_bars

_ENDING = ".csv"


class FilePrices:
    """The price source ``files``."""

    name = "files"
    local = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tickers(self) -> list[str]:
        """Return the tickers that have a file, in order."""
        with _reading("The folder of price files"):
            return sorted({path.stem.upper() for path in self._named() if _is_file(path)})

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        """Return the bars of the ticker's file, in its order; see ``PriceSource.history``."""
        path = self._path(ticker)
        history = self._extract(self._query(path, ticker), path.name, ticker)
        return finished(replace(history, source=self.name), now=now).between(start, end)

    def _path(self, ticker: str) -> Path:
        """Return the ticker's file; capitals in its name do not matter."""
        wanted = f"{require_ticker(ticker, source=self.name)}{_ENDING}"
        with _reading("The folder of price files"):
            exact = self._folder / wanted
            if _is_file(exact):  # as nearly always: a look at all names for each of many tickers would take its time
                return exact
            found = [path for path in self._named() if path.name.upper() == wanted.upper() and _is_file(path)]
        if not found:
            raise UnknownTicker(f"The folder has no file {wanted}.", ticker=ticker, source=self.name)
        return min(found)

    def _query(self, path: Path, ticker: str) -> bytes:
        with _reading(path.name, ticker=ticker):
            return path.read_bytes()

    def _extract(self, text: bytes, name: str, ticker: str) -> PriceHistory:
        """Read the bars; a file with rows that cannot be read is not trusted."""
        try:
            history, refused = read_bars(text, ticker=ticker)
        except (InvalidBars, NotEnoughHistory) as error:
            raise type(error)(f"{name}: {error.detail}", pointer=error.pointer, **error.facts) from error
        if refused:
            raise _unreadable(ticker, refused, name=name, have=len(history))
        return history

    def _named(self) -> list[Path]:
        """Return what is named as a price file."""
        return [path for path in self._folder.iterdir() if path.name.lower().endswith(_ENDING)]


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  # a path that we may not look at is none; pathlib would raise


@contextmanager
def _reading(what: str, **facts: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceUnavailable(f"{what} cannot be read: {error.strerror}.", **facts) from error


def _unreadable(ticker: str, refused: list[RefusedRow], *, name: str, have: int) -> InvalidBars:
    first = refused[0]
    return InvalidBars(
        f"{len(refused)} rows of {name} cannot be read; line {first.line}: {first.reason}.",
        ticker=ticker,
        have=have,
        refused=[{"line": row.line, "reason": row.reason} for row in refused[:20]],
    )
