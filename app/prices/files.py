"""Prices from a folder of CSV files, one a ticker, named ``<TICKER>.csv``."""

from __future__ import annotations

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
        return sorted({path.stem.upper() for path in self._found() if path.is_file()})

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        """Return the bars of the ticker's file, in its order; see ``PriceSource.history``."""
        text = self._query(ticker)
        history = self._extract(text, ticker)
        return finished(replace(history, source=self.name), now=now).between(start, end)

    def _query(self, ticker: str) -> bytes:
        """Return the bytes of the ticker's file; only files listed in the folder can be meant."""
        wanted = f"{require_ticker(ticker, source=self.name)}{_ENDING}".upper()
        found = [path for path in self._found() if path.name.upper() == wanted and path.is_file()]
        if not found:
            raise UnknownTicker(f"The folder has no file {ticker}.csv.", ticker=ticker, source=self.name)
        path = min(found)
        try:
            return path.read_bytes()
        except OSError as error:
            raise SourceUnavailable(f"{path.name} cannot be read: {error.strerror}.", ticker=ticker) from error

    def _extract(self, text: bytes, ticker: str) -> PriceHistory:
        """Read the bars; a file with rows that cannot be read is not trusted."""
        try:
            history, refused = read_bars(text, ticker=ticker)
        except (InvalidBars, NotEnoughHistory) as error:
            raise type(error)(f"{ticker}{_ENDING}: {error.detail}", pointer=error.pointer, **error.facts) from error
        if refused:
            raise _unreadable(ticker, refused, have=len(history))
        return history

    def _found(self) -> list[Path]:
        """Return what is named as a price file; names count in capitals."""
        try:
            return [path for path in self._folder.iterdir() if path.name.lower().endswith(_ENDING)]
        except OSError as error:
            raise SourceUnavailable(f"The folder of price files cannot be read: {error.strerror}.") from error


def _unreadable(ticker: str, refused: list[RefusedRow], *, have: int) -> InvalidBars:
    first = refused[0]
    return InvalidBars(
        f"{len(refused)} rows of {ticker}.csv cannot be read; line {first.line}: {first.reason}.",
        ticker=ticker,
        have=have,
        refused=[{"line": row.line, "reason": row.reason} for row in refused[:20]],
    )
