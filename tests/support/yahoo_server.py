"""A loopback server that speaks Yahoo's chart format, for tests and demonstrations without a network.

As a script: ``python tests/support/yahoo_server.py --dir FOLDER --port N`` serves every ``<TICKER>.csv`` of
a folder (columns Date, Open, High, Low, Close, Adj Close, Volume).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

CHART = "/v8/finance/chart/"
RANGES = {"1d": 1, "5d": 5, "1mo": 31, "3mo": 93, "6mo": 186, "1y": 366, "2y": 731, "5y": 1827, "10y": 3653}
FAILURES = ("429", "500", "503", "html", "truncated", "hang", "drip", "drop", "unknown", "empty")


@dataclass(frozen=True)
class Bar:
    """One daily bar; ``None`` is Yahoo's null."""

    day: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    adj_close: float | None = None
    volume: float | None = 0.0


@dataclass
class Listing:
    """What the server knows of one symbol; ``open_until`` (aware UTC) is when its running session ends.

    ``as_is`` sends the bars in the order they stand in, not by day.
    """

    bars: list[Bar]
    currency: str = "USD"
    timezone: str = "America/New_York"
    instrument: str = "EQUITY"
    splits: dict[date, float] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)
    open_until: datetime | None = None
    symbol: str | None = None
    as_is: bool = False

    def append(self, bar: Bar) -> None:
        """Add the next day's bar."""
        self.bars.append(bar)


def bars_of_csv(path: Path) -> list[Bar]:
    """Read the bars of a CSV file in Yahoo's columns."""

    def number(row: dict[str, str], name: str) -> float | None:
        text = row.get(name) or ""
        return None if text.lower() in {"", "null", "nan"} else float(text)

    with path.open(newline="", encoding="utf-8-sig") as file:
        return [
            Bar(
                date.fromisoformat(row["Date"][:10]),
                number(row, "Open"),
                number(row, "High"),
                number(row, "Low"),
                number(row, "Close"),
                number(row, "Adj Close"),
                number(row, "Volume"),
            )
            for row in csv.DictReader(file)
        ]


def bars_of(sessions: Iterable[date], closes: Iterable[float]) -> list[Bar]:
    """Make plain bars around the closes."""
    return [
        Bar(day, close * 0.995, close * 1.01, close * 0.99, close, close, 1000.0 + n)
        for n, (day, close) in enumerate(zip(sessions, closes, strict=True))
    ]


class YahooServer(ThreadingHTTPServer):
    """Serves ``listings``; ``fail`` says per request what goes wrong (a name of ``FAILURES`` or ``None``).

    ``fail`` is a name, or a callable of path and query. Only chart requests fail unless ``fail_all``.
    """

    daemon_threads = True

    def __init__(self, listings: dict[str, Listing] | None = None, *, folder: Path | None = None, port: int = 0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.listings = dict(listings or {})
        self.folder = folder
        self.fail: str | Callable[[str, dict[str, str]], str | None] | None = None
        self.fail_all = False
        self.hang_seconds = 30.0
        self.retry_after: str | None = None  # what a 429 says of it
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def charts(self) -> int:
        """How many chart requests came."""
        return sum(path.startswith(CHART) for path in self.requests)

    def listing(self, symbol: str) -> Listing | None:
        """Return what is known of a symbol, read from the folder when it has a file."""
        if symbol in self.listings or self.folder is None:
            return self.listings.get(symbol)
        names = {path.stem: path for path in self.folder.glob("*.csv")}
        return Listing(bars_of_csv(names[symbol])) if symbol in names else None

    def failure(self, path: str, query: dict[str, str]) -> str | None:
        """Return what is to go wrong with this request."""
        if not path.startswith(CHART) and not self.fail_all:
            return None
        return self.fail(path, query) if callable(self.fail) else self.fail


@contextmanager
def yahoo_server(listings: dict[str, Listing] | None = None, *, folder: Path | None = None) -> Iterator[YahooServer]:
    """Run a server in a thread for the length of the block."""
    server = YahooServer(listings, folder=folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: YahooServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.requests.append(path)
        failure = self.server.failure(path, query)
        if failure:
            self._fail(failure, path, query)
        elif path == "/v1/test/getcrumb":
            self._send(200, b"crumb.1", kind="text/plain")
        elif path.startswith(CHART):
            self._chart(path, query)
        else:
            self._send(404, b"", cookie=True)

    def _chart(self, path: str, query: dict[str, str]) -> None:
        listing = self.server.listing(path.removeprefix(CHART))
        if listing is None:
            self._unknown()
        else:
            self._send(200, json.dumps(chart(path.removeprefix(CHART), listing, query)).encode())

    def _fail(self, failure: str, path: str, query: dict[str, str]) -> None:
        if failure in {"hang", "drip", "drop"}:
            self._give_up(failure)
        elif failure.isdigit():
            body = b"Too Many Requests\r\n" if failure == "429" else b'{"finance":{"result":null,"error":{"code":"x"}}}'
            self._send(int(failure), body)
        elif failure == "html":
            self._send(200, b"<html><body>Will be right back...</body></html>", kind="text/html")
        elif failure == "truncated":
            listing = self.server.listing(path.removeprefix(CHART)) or Listing([])
            self._send(200, json.dumps(chart("X", listing, query)).encode()[:300])
        elif failure == "empty":
            self._send(200, json.dumps(chart(path.removeprefix(CHART), Listing([]), query)).encode())
        elif failure == "unknown":
            self._unknown()

    def _give_up(self, failure: str) -> None:
        if failure == "hang":
            time.sleep(self.server.hang_seconds)
        elif failure == "drip":
            self._drip()
        self.close_connection = True
        if failure == "drop":
            self.connection.close()

    def _drip(self) -> None:
        """Send a byte now and then, until the other side has had enough."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        until = time.monotonic() + self.server.hang_seconds
        with contextlib.suppress(OSError):
            while time.monotonic() < until:
                self.wfile.write(b" ")
                time.sleep(0.02)

    def _unknown(self) -> None:
        error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
        self._send(404, json.dumps({"chart": {"result": None, "error": error}}).encode())

    def _send(self, status: int, body: bytes, *, kind: str = "application/json", cookie: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 429 and self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        if cookie:
            self.send_header("Set-Cookie", "A3=d=loopback; Expires=Sun, 22 Nov 2099 00:00:00 GMT; Path=/")
        self.end_headers()
        self.wfile.write(body)


def chart(symbol: str, listing: Listing, query: dict[str, str]) -> dict[str, Any]:
    """Return Yahoo's answer about a symbol, between ``period1`` and ``period2`` or over a ``range``."""
    zone = ZoneInfo(listing.timezone)
    bars = _selected(listing, query, zone)
    stamps = [_opens(bar.day, zone) for bar in bars]
    names = ("open", "high", "low", "close", "volume")
    result: dict[str, Any] = {"meta": _meta(symbol, listing, zone)}
    result["indicators"] = {"quote": [{}], "adjclose": [{}]}
    if bars:
        result["timestamp"] = stamps
        result["indicators"] = {
            "quote": [{name: [getattr(bar, name) for bar in bars] for name in names}],
            "adjclose": [{"adjclose": [bar.close if bar.adj_close is None else bar.adj_close for bar in bars]}],
        }
        result["events"] = _events(listing, {bar.day for bar in bars}, zone)
    return {"chart": {"result": [result], "error": None}}


def _selected(listing: Listing, query: dict[str, str], zone: ZoneInfo) -> list[Bar]:
    bars = list(listing.bars) if listing.as_is else sorted(listing.bars, key=lambda bar: bar.day)
    if "period1" in query:
        first, last = int(query["period1"]), int(query.get("period2", "9999999999"))
        return [bar for bar in bars if first <= _opens(bar.day, zone) < last]
    span = RANGES.get(query.get("range", "max"))
    return bars if span is None or not bars else [b for b in bars if b.day > bars[-1].day - timedelta(days=span)]


def _opens(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, 9, 30, tzinfo=zone).timestamp())


def _meta(symbol: str, listing: Listing, zone: ZoneInfo) -> dict[str, Any]:
    newest = max((bar.day for bar in listing.bars), default=date(2020, 1, 2))
    start = _opens(newest, zone)
    end = int(listing.open_until.timestamp()) if listing.open_until else start + 23400
    offset = datetime.fromtimestamp(start, zone).utcoffset() or timedelta(0)
    period = {"timezone": "EST", "start": start, "end": end, "gmtoffset": int(offset.total_seconds())}
    return {
        "currency": listing.currency,
        "symbol": listing.symbol or symbol,
        "exchangeName": "NMS",
        "instrumentType": listing.instrument,
        "firstTradeDate": start,
        "regularMarketTime": end,
        "gmtoffset": int(offset.total_seconds()),
        "timezone": "EST",
        "exchangeTimezoneName": listing.timezone,
        "regularMarketPrice": 1.0,
        "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
        "dataGranularity": "1d",
        "range": "",
        "validRanges": [*RANGES, "ytd", "max"],
    }


def _events(listing: Listing, days: set[date], zone: ZoneInfo) -> dict[str, Any]:
    splits = {
        str(_opens(day, zone)): {
            "date": _opens(day, zone),
            "numerator": ratio,
            "denominator": 1.0,
            "splitRatio": f"{ratio}:1",
        }
        for day, ratio in listing.splits.items()
        if day in days
    }
    dividends = {
        str(_opens(day, zone)): {"amount": amount, "date": _opens(day, zone)}
        for day, amount in listing.dividends.items()
        if day in days
    }
    return {name: events for name, events in (("splits", splits), ("dividends", dividends)) if events}


def main() -> None:
    """Serve a folder until interrupted."""
    parser = argparse.ArgumentParser(description="A loopback server in Yahoo's chart format.")
    parser.add_argument("--dir", type=Path, required=True, help="folder of <TICKER>.csv files")
    parser.add_argument("--port", type=int, default=0, help="port; 0: any free one")
    arguments = parser.parse_args()
    server = YahooServer(folder=arguments.dir, port=arguments.port)
    print(f"serving {arguments.dir} at {server.url} since {datetime.now(UTC):%H:%M:%S}", flush=True)  # noqa: T201
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
