"""What both clients share of HTTP: how a connection is set, and what its answers and failures mean."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from app import __version__
from app.client.addresses import connection_to, shown
from app.client.attempts import Attempts
from app.client.call import Answer, Call, Schema, Stream, parsed
from app.client.errors import refusal_of, unexpected, unreachable
from app.client.watch import LONGEST_SILENCE

# No request has left when these are raised.
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_KEY = re.compile(r"[!-~]*")
# No answer will ever come of repeating these.
_HOPELESS = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)


def address_of(url: str) -> str:
    """Return ``url`` without a slash at its end.

    Raises:
        ValueError: it is no address of HTTP.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # brackets of no address, a port that is no number
        is_address = False
    if not is_address:
        raise ValueError(f"{shown(url)!r} is no address such as http://127.0.0.1:8000")
    return url.rstrip("/")


def options_of(url: str, *, timeout: float, key: str | None, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """Return how the HTTP client for the service at ``url`` is set; without a ``key``, that of ``MORROW_API_KEY``.

    Raises:
        ValueError: the key is none that could be sent.
    """
    token = os.environ.get("MORROW_API_KEY", "").strip() if key is None else key
    if not _KEY.fullmatch(token):  # whatever else would refuse it would show it
        raise ValueError(f"{'MORROW_API_KEY' if key is None else 'The key'} has characters that no key has")
    bearer = {"authorization": f"Bearer {token}"} if token else {}
    named = {"user-agent": f"morrow/{__version__}", "accept": "application/json", **bearer, **(headers or {})}
    return {"timeout": timeout, "headers": named, **connection_to(url)}


def request_of(call: Call[Any], url: str, known: Answer | None) -> dict[str, Any]:
    """Return ``call`` as the arguments of a request, for another answer than the ``known`` one."""
    condition = {"if-none-match": known.headers["etag"]} if known else {}
    return {
        "method": call.method,
        "url": url + call.path,
        "params": dict(call.params) or None,
        "headers": {**call.headers, **condition},
        "content": call.content,
    }


def answer_of(response: httpx2.Response, known: Answer | None) -> Answer:
    """Return a response as data; the ``known`` answer when it says that there is no other."""
    if known and response.status_code == 304:
        return known
    headers = _headers_of(response)
    return Answer(status=response.status_code, headers=headers, body=response.content, url=str(response.url))


def pause_after(error: httpx2.RequestError, attempts: Attempts, url: str) -> float:
    """Return the seconds to wait before the next attempt, since no answer came.

    Raises:
        Unreachable: it is given up.
    """
    sent = not isinstance(error, _NOT_SENT)
    pause = None if isinstance(error, _HOPELESS) else attempts.pause_after_loss(sent=sent)
    if pause is None:
        raise unreachable(url, error) from error
    return pause


def opening_of(stream: Stream[Any], url: str, *, timeout: float, last_id: str) -> dict[str, Any]:
    """Return the arguments under which ``stream`` is opened."""
    return {
        "url": url + stream.path,
        "headers": {"last-event-id": last_id} if last_id else {},
        "timeout": httpx2.Timeout(timeout, read=LONGEST_SILENCE),
        "max_event_size": None,  # a job's result may be large, and any other answer is read whole too
    }


class WantedBytes(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The bytes of ``stream`` for as long as they are ``wanted``, which is asked after each piece, a ping too."""

    def __init__(self, stream: Any, wanted: Callable[[], bool]) -> None:
        self._stream = stream
        self._wanted = wanted

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            yield piece
            if not self._wanted():
                return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece
            if not self._wanted():
                return

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    async def aclose(self) -> None:
        """As ``close``."""
        await self._stream.aclose()


def refuse_stream(response: httpx2.Response, body: bytes) -> None:
    """Raise what an answer means that was to be a stream and is none."""
    if response.status_code not in {200, 204}:
        raise refusal_of(response.status_code, body, url=str(response.url), headers=_headers_of(response))


def told_by(stream: Stream[Schema], event: httpx2.ServerSentEvent, url: str) -> Schema | None:
    """Return what an event tells; ``None`` when it is of no known kind.

    Raises:
        Unexpected: it cannot be read.
    """
    schema = stream.kinds.get(event.event)
    return parsed(event.data, schema, status=200, url=url) if schema else None


@contextmanager
def losses(url: str) -> Iterator[None]:
    """Raise as the client's own what ends a stream.

    Raises:
        Unexpected: it is none of events.
        Unreachable: it broke.
    """
    try:
        yield
    except httpx2.SSEError as error:
        raise unexpected(200, str(error), url=url) from None
    except httpx2.RequestError as error:
        raise unreachable(url, error) from error


def _headers_of(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
