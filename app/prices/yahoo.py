"""Prices from Yahoo Finance, through the ``yfinance`` client."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import yfinance
from curl_cffi.requests.exceptions import InvalidJSONError, Timeout
from peewee import PeeweeException
from yfinance.data import YfData
from yfinance.exceptions import YFRateLimitError

from app.domain.history import Action, Bars, PriceHistory
from app.errors import SourceRateLimited, SourceUnavailable, UnknownTicker
from app.prices.base import finished, require_ticker
from app.prices.yahoo_session import YahooSession

_FIELDS = ("open", "high", "low", "close", "adj_close", "volume")
_BACKOFF_SECONDS = (0.2, 0.6)

# The client keeps one session, one cookie and one cache for the whole process.
_ONE_AT_A_TIME = threading.Lock()

log = structlog.get_logger(__name__)


class YahooPrices:
    """The price source ``yahoo``.

    ``base_url`` is asked in Yahoo's place. ``timeout_seconds`` bounds one answer, twice that the
    whole call. ``requests_per_second`` spaces the requests of this process (``None``: not at all).
    """

    name = "yahoo"
    local = False

    def __init__(
        self,
        base_url: str | None,
        cache_dir: Path,
        timeout_seconds: float = 20.0,
        requests_per_second: float | None = None,
    ) -> None:
        self._cache_dir = cache_dir
        self._timeout = timeout_seconds
        self._session = YahooSession(base_url, timeout_seconds=timeout_seconds, requests_per_second=requests_per_second)

    def tickers(self) -> None:
        """Yahoo's tickers cannot be listed."""
        return

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        """Return split-adjusted bars with Adj Close, splits and dividends; see ``PriceSource.history``."""
        require_ticker(ticker, source=self.name)
        with _ONE_AT_A_TIME:
            frame, facts = self._query(ticker, start, now)
        if facts.get("symbol", ticker) != ticker:
            raise SourceUnavailable(f"Yahoo answered for {facts['symbol']!r}, not {ticker}.", ticker=ticker)
        bars, actions = _extract(frame)
        history = _normalise(ticker, bars, actions, facts)
        return _without_running(finished(history, now=now), facts, now=now).between(start, end)

    def _query(self, ticker: str, start: date | None, now: datetime) -> tuple[Any, Mapping[str, Any]]:
        """Ask, and ask again after a failure that may pass."""
        self._configure()
        # The end is exclusive, and told because the client would take it from the machine's clock.
        span = {"end": (now + timedelta(days=2)).date().isoformat()}
        span |= {"start": start.isoformat()} if start else {"period": "max"}
        session = self._session
        deadline = time.monotonic() + 2 * self._timeout
        session.begin(deadline=deadline)
        failure: Exception | None = None
        unknown = 0
        for wait in (*_BACKOFF_SECONDS, None):
            try:
                return _ask(ticker, span, session)
            except Exception as error:  # the client raises whatever its parsers meet
                failure = error
            if isinstance(failure, PeeweeException):
                _forgo_cache(failure)
            if session.rate_limited or isinstance(failure, YFRateLimitError):
                wait_for = session.retry_after_seconds
                told: dict[str, Any] = {} if wait_for is None else {"retry_after_seconds": ceil(wait_for)}
                raise SourceRateLimited("Yahoo asks for patience.", ticker=ticker, **told) from failure
            unknown += session.symbol_unknown
            if unknown >= 2:
                raise UnknownTicker(f"Yahoo has no prices of {ticker}.", ticker=ticker, source=self.name) from failure
            if wait is None or isinstance(failure, Timeout) or time.monotonic() + wait >= deadline:
                break
            time.sleep(wait)
        cause = type(failure).__name__
        # The network's faults are OSErrors, and so is what the HTTP library says of an answer that is no JSON.
        unheard = isinstance(failure, OSError) and not isinstance(failure, InvalidJSONError)
        said = f"Yahoo did not answer for {ticker}" if unheard else f"Yahoo's answer for {ticker} is of no use"
        raise SourceUnavailable(f"{said} ({cause}).", ticker=ticker, cause=cause) from failure

    def _configure(self) -> None:
        """Point the client at our cache, and have it raise what it would hide."""
        with contextlib.suppress(OSError):  # it does without a folder that cannot be made
            self._cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # private: the client pickles cookies there
        yfinance.set_tz_cache_location(str(self._cache_dir))
        yfinance.config.debug.hide_exceptions = False
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)


def _ask(ticker: str, span: Mapping[str, str], session: YahooSession) -> tuple[Any, Mapping[str, Any]]:
    """Ask once and return the client's table and Yahoo's facts about the instrument.

    Raises:
        LookupError: the table is empty.
        Exception: whatever the client raises.
    """
    # The client remembers answers of past days, error answers too: without this an outage never ends.
    YfData.cache_get.cache_clear()
    session.forget()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own use of pandas
        client = yfinance.Ticker(ticker, session=session)
        frame = client.history(interval="1d", auto_adjust=False, actions=True, **span)
    if frame is None or frame.empty:
        raise LookupError("no rows")
    return frame, client.get_history_metadata()


def _forgo_cache(reason: Exception) -> None:
    """Have the client of this process do without its cache, whose disk is full or whose files are damaged."""
    for cache in (yfinance.cache.get_tz_cache(), yfinance.cache.get_cookie_cache()):
        cache.dummy = True
    log.warning("Yahoo is asked without a cache", reason=str(reason))


def _extract(frame: Any) -> tuple[Bars, tuple[Action, ...]]:
    """Return bars and actions; a session is the exchange-local day of its row."""
    sessions = np.array([stamp.date() for stamp in frame.index], dtype="datetime64[D]")
    columns = {name: frame[name.replace("_", " ").title()].to_numpy(dtype=np.float64) for name in _FIELDS}
    actions = [
        Action(session=stamp.date(), kind=kind, value=float(value))
        for kind, heading in (("split", "Stock Splits"), ("dividend", "Dividends"))
        for stamp, value in frame[heading].items()
        if value
    ]
    return Bars(sessions=sessions, **columns), tuple(sorted(actions, key=lambda action: (action.session, action.kind)))


def _normalise(ticker: str, bars: Bars, actions: tuple[Action, ...], facts: Mapping[str, Any]) -> PriceHistory:
    return PriceHistory(
        ticker=ticker,
        source=YahooPrices.name,
        bars=bars,
        currency=facts.get("currency"),
        timezone=facts.get("exchangeTimezoneName"),
        instrument=facts.get("instrumentType"),
        price_basis="split_adjusted",
        actions=actions,
    )


def _without_running(history: PriceHistory, facts: Mapping[str, Any], *, now: datetime) -> PriceHistory:
    """Drop the bar of the session that, by Yahoo's own clock, still runs."""
    period = (facts.get("currentTradingPeriod") or {}).get("regular") or {}
    opened, closes = _moment(period.get("start")), _moment(period.get("end"))
    if opened is None or closes is None or now >= closes:
        return history
    return history.between(end=opened.date() - timedelta(days=1))


def _moment(value: Any) -> datetime | None:
    """Return a time of Yahoo's facts, which the client may or may not have converted."""
    if isinstance(value, datetime):
        return value
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else None
