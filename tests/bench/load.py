"""Requests per second over kept-alive connections, by a client that is cheaper than any server."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from urllib.parse import urlsplit

CONNECTIONS = 4
REQUESTS = 2000
ROUNDS = 5


def requests_per_second(base_url: str, paths: list[str]) -> list[float]:
    """Return the median rate of each path; the paths take turns, so that a busy machine hurts all alike."""
    rates: dict[str, list[float]] = {path: [] for path in paths}
    for path in paths:
        _round(base_url, path, 200)
    for _ in range(ROUNDS):
        for path in paths:
            rates[path].append(_round(base_url, path, REQUESTS))
    return [statistics.median(rates[path]) for path in paths]


def _round(base_url: str, path: str, requests: int) -> float:
    each = requests // CONNECTIONS
    clients = [threading.Thread(target=_ask, args=(base_url, path, each)) for _ in range(CONNECTIONS)]
    started = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return each * CONNECTIONS / (time.perf_counter() - started)


def _ask(base_url: str, path: str, times: int) -> None:
    """Ask again and again; every answer is as long as the first."""
    address = urlsplit(base_url)
    request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    with socket.create_connection((address.hostname, address.port)) as connection:
        length = _first_length(connection, request)
        for _ in range(times - 1):
            connection.sendall(request)
            received = 0
            while received < length:
                received += len(connection.recv(65536))


def _first_length(connection: socket.socket, request: bytes) -> int:
    connection.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(head.decode())
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    missing = int(fields[b"content-length"]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))
    return len(head) + 4 + int(fields[b"content-length"])
