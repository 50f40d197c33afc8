"""A small HTTP server that answers what it is told to, one script after the other."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Said:
    """One answer: ``reset`` breaks the connection instead; ``pings`` go before the body, twenty a second."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False
    pings: int = 0


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Canned:
    """The running server; it answers from ``script`` and notes what it was ``asked``. The last answer stays."""

    url: str
    script: list[Said]
    asked: list[Asked] = field(default_factory=list)

    def next(self) -> Said:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def json_said(document: Any, status: int = 200, **headers: str) -> Said:
    """An answer in JSON."""
    return Said(status, json.dumps(document).encode(), {"Content-Type": "application/json", **_dashed(headers)})


def problem_said(status: int, code: str, **headers: str) -> Said:
    """A refusal as Morrow says it."""
    facts = {"type": f"urn:morrow:problem:{code}", "title": "T", "status": status, "detail": "It is so.", "code": code}
    body = json.dumps({**facts, "instance": "/", "request_id": "r1", "have": 1, "need": 2}).encode()
    return Said(status, body, {"Content-Type": "application/problem+json", **_dashed(headers)})


def html_said(status: int) -> Said:
    """What a proxy says."""
    return Said(status, b"<html><h1>Bad Gateway</h1></html>", {"Content-Type": "text/html; charset=utf-8"})


def events_said(*events: tuple[str, Any], status: int = 200) -> Said:
    """A stream of events that ends with the last one."""
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return Said(status, text.encode(), {"Content-Type": "text/event-stream"})


RESET = Said(reset=True)


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _ping(out: Any, count: int) -> None:
    for _ in range(count):
        out.write(b": ping\n\n")
        time.sleep(0.05)


@contextmanager
def canned(*script: Said) -> Iterator[Canned]:
    """Answer with ``script`` on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            running.asked.append(Asked(self.command, self.path, headers, body))
            said = running.next()
            if said.reset:
                # With no time to linger, closing sends RST.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.rfile.close()
                self.wfile.close()
                self.connection.close()
                return
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if said.pings:
                self.send_header("Connection", "close")
            elif said.status != 204:
                self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever has heard enough leaves
                _ping(self.wfile, said.pings)
                self.wfile.write(said.body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # names of the base class

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Canned(f"http://127.0.0.1:{server.server_address[1]}", list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
