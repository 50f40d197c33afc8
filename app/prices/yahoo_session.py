"""The HTTP session under the Yahoo client: bounded in time, and unable to reach any other host."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from curl_cffi import requests

from app.domain.breaker import LONGEST_PAUSE

_CHART = "/v8/finance/chart/"
_NOT_FOUND = (b"No data found", b"Not Found", b"may be delisted")


class YahooSession(requests.Session):
    """A browser-like session that talks to ``*.yahoo.com``, or to ``base_url`` in its place.

    It remembers what the chart requests of the present call were answered, because the client
    above reports an outage and an unknown symbol in the same words.
    """

    def __init__(
        self, base_url: str | None, *, timeout_seconds: float, requests_per_second: float | None = None
    ) -> None:
        super().__init__(impersonate="chrome")
        # Between two requests of this process, whatever question they belong to.
        self._spacing = 1 / requests_per_second if requests_per_second else 0.0
        self._next_at = 0.0
        self._base = urlsplit(base_url) if base_url else None
        self._timeout = timeout_seconds
        self._deadline = 0.0
        self.rate_limited = False
        self.retry_after_seconds: float | None = None
        self.symbol_unknown = False

    def begin(self, *, deadline: float) -> None:
        """Start a call that may last until ``deadline`` (``time.monotonic``)."""
        self._deadline = deadline
        self.forget()

    def forget(self) -> None:
        """Forget the answers so far."""
        self.rate_limited = self.symbol_unknown = False
        self.retry_after_seconds = None

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        """Send one request to the allowed host, for as long as the call has left."""
        target = self._target(str(url))
        if self.rate_limited:
            raise ConnectionError("Yahoo asks for patience")  # the client would try another way at once
        if time.monotonic() >= self._deadline:
            raise TimeoutError("the call's time is used up")
        self._wait_for_turn()
        left = max(self._deadline - time.monotonic(), 0.001)  # curl takes 0 for no limit at all
        options["timeout"] = min(self._timeout, left)
        answer = super().request(method, target, *arguments, **options)
        if answer.status_code == 429:
            self.rate_limited = True
            self.retry_after_seconds = _retry_after(answer.headers.get("retry-after"))
        if _CHART in str(url):
            self.symbol_unknown = _says_unknown(answer)
        return answer

    def _wait_for_turn(self) -> None:
        """Wait until the next request may be sent; the call has as much more time."""
        now = time.monotonic()
        wait = max(self._next_at - now, 0.0)
        self._next_at = now + wait + self._spacing
        self._deadline += wait
        time.sleep(wait)

    def _target(self, url: str) -> str:
        """Return where the request really goes.

        Raises:
            ConnectionError: it would leave for a host that is none of Yahoo's.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        yahoo = host == "yahoo.com" or host.endswith(".yahoo.com")
        if self._base is None and yahoo:
            return url
        if self._base is not None and (yahoo or parts.netloc == self._base.netloc):
            path = parts.path if not yahoo else self._base.path.rstrip("/") + (parts.path or "/")
            return urlunsplit((self._base.scheme, self._base.netloc, path, parts.query, ""))
        raise ConnectionError(f"the host {host!r} is not Yahoo's")


def _retry_after(value: str | None) -> float | None:
    """Read a ``Retry-After``: seconds, or the date of their end; ``None`` when there is none that can be read."""
    if not value:
        return None
    seconds = value.strip()
    if seconds.isascii() and seconds.isdigit():
        return float(min(int(seconds[:9]), LONGEST_PAUSE.total_seconds()))
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_PAUSE.total_seconds())


def _says_unknown(answer: Any) -> bool:
    """Whether Yahoo itself, not a broken server on the way, says that there is no such symbol."""
    return answer.status_code in {200, 404} and any(words in answer.content[:2000] for words in _NOT_FOUND)
