"""The HTTP session under the Yahoo client: bounded in time, and unable to reach any other host."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from curl_cffi import requests

_CHART = "/v8/finance/chart/"
_NOT_FOUND = (b"No data found", b"Not Found", b"may be delisted")


class YahooSession(requests.Session):
    """A browser-like session that talks to ``*.yahoo.com``, or to ``base_url`` in its place.

    It remembers what the chart requests of the present call were answered, because the client
    above reports an outage and an unknown symbol in the same words.
    """

    def __init__(self, base_url: str | None, *, timeout_seconds: float) -> None:
        super().__init__(impersonate="chrome")
        self._base = urlsplit(base_url) if base_url else None
        self._timeout = timeout_seconds
        self._deadline = 0.0
        self.rate_limited = False
        self.symbol_unknown = False

    def begin(self, *, deadline: float) -> None:
        """Start a call that may last until ``deadline`` (``time.monotonic``)."""
        self._deadline = deadline
        self.forget()

    def forget(self) -> None:
        """Forget the answers so far."""
        self.rate_limited = self.symbol_unknown = False

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        """Send one request to the allowed host, for as long as the call has left."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is used up")
        options["timeout"] = min(self._timeout, left)
        answer = super().request(method, self._target(str(url)), *arguments, **options)
        if _CHART in str(url):
            self.rate_limited = self.rate_limited or answer.status_code == 429
            self.symbol_unknown = _says_unknown(answer)
        return answer

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


def _says_unknown(answer: Any) -> bool:
    """Whether Yahoo itself, not a broken server on the way, says that there is no such symbol."""
    return answer.status_code in {200, 404} and any(words in answer.content[:2000] for words in _NOT_FOUND)
