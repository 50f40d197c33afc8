"""The port that every price source fits: a ticker in, daily bars out."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Protocol

from app.domain.history import PriceHistory
from app.errors import UnknownTicker
from app.sessions.calendars import ends_at, exchange_of

UPLOAD = "upload"  # the source of bars that a user handed in: kept, never asked
_TICKER = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^&]{0,14}")


class PriceSource(Protocol):
    """A source of daily bars.

    ``local`` says that it is cheap and offline, so it may be asked inside a request.
    """

    name: str
    local: bool

    def tickers(self) -> list[str] | None:
        """Return the tickers that the source has, in order; ``None`` when they cannot be listed."""
        ...

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        """Return the bars ``start <= session <= end`` of sessions finished by ``now`` (aware UTC).

        Bars come as the source has them: ``audit`` orders, mends or refuses them before any use.

        Raises:
            UnknownTicker: the source has never heard of the ticker; ask for another.
            SourceUnavailable: the source did not answer, or answered nonsense; try again later.
            SourceRateLimited: the source asks for patience; try again in a quarter of an hour.
            InvalidBars: what the source holds cannot be read as daily bars.
            NotEnoughHistory: the source holds no bar at all.
        """
        ...


def require_ticker(ticker: str, *, source: str) -> str:
    """Return the ticker when it has the form of one, so that it may go into a URL or a file name.

    Raises:
        UnknownTicker: it has not; nothing was asked.
    """
    if not _TICKER.fullmatch(ticker):
        raise UnknownTicker(f"{ticker[:20]!r} does not have the form of a ticker.", ticker=ticker[:20], source=source)
    return ticker


def finished(history: PriceHistory, *, now: datetime) -> PriceHistory:
    """Return the history without bars whose session had not ended by ``now`` (aware UTC)."""
    if not len(history):
        return history
    exchange = exchange_of(history.ticker, timezone=history.timezone, instrument=history.instrument)
    days: list[date] = history.bars.sessions.astype("datetime64[D]").tolist()
    # A session lasts less than two days in any time zone, so only the newest days need the calendar.
    recent = [day for day in days if (now.date() - day).days < 3]
    unfinished = [day for day in recent if ends_at(exchange, day) > now]
    return history.between(end=min(unfinished) - timedelta(days=1)) if unfinished else history
