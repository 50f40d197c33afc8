"""Requests over many kept-alive connections by one thread without asyncio: a client that is cheaper than any server."""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a round of requests met: answers a second, and milliseconds from a request to the end of its answer."""

    rate: float
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class _Connection:
    """One connection with one request under way; ``missing`` bytes of its answer are still to come."""

    socket: socket.socket
    length: int
    missing: int = 0
    sent_at: float = field(default=0.0)

    def ask(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.missing = self.length
        self.socket.send(request)


def request_of(base_url: str, path: str, **headers: str) -> bytes:
    """Return the bytes of a GET; an underscore in the name of a header stands for its hyphen."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(base_url).netloc}\r\n{lines}\r\n".encode()


def load(base_url: str, request: bytes, *, status: int, connections: int = 64, requests: int = 5000) -> Load:
    """Send ``request`` again and again, each connection as soon as it has its answer; all answers are of one length.

    Raises:
        SystemExit: an answer has another status, or does not come.
    """
    address = urlsplit(base_url)
    sockets = [socket.create_connection((address.hostname, address.port)) for _ in range(connections)]
    try:
        seconds, waits = _measured([_connected(one, request, status) for one in sockets], request, requests)
    finally:
        for one in sockets:
            one.close()
    waits.sort()
    return Load(
        rate=len(waits) / seconds, p50_ms=waits[len(waits) // 2] * 1e3, p99_ms=waits[len(waits) * 99 // 100] * 1e3
    )


def _connected(one: socket.socket, request: bytes, status: int) -> _Connection:
    """Ask once, to learn how long an answer is."""
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += one.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    if head.split(b" ")[1] != str(status).encode():
        raise SystemExit(head.decode())
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", b"0")) if status != 304 else 0
    missing = length - len(body)
    while missing > 0:
        missing -= len(one.recv(65536))
    return _Connection(one, len(head) + 4 + length)


def _measured(connections: list[_Connection], request: bytes, requests: int) -> tuple[float, list[float]]:
    """Return the seconds that ``requests`` took and how long each waited."""
    selector = selectors.DefaultSelector()
    for one in connections:
        selector.register(one.socket, selectors.EVENT_READ, one)
    waits: list[float] = []
    begun = time.perf_counter()
    for one in connections:
        one.ask(request)
    while len(waits) < requests:
        events = selector.select(_PATIENCE_SECONDS)
        if not events:
            raise SystemExit("an answer did not come")
        for key, _ in events:
            one = key.data
            one.missing -= len(one.socket.recv(262144))
            if one.missing <= 0:
                waits.append(time.perf_counter() - one.sent_at)
                one.ask(request)
    seconds = time.perf_counter() - begun
    selector.close()
    return seconds, waits
