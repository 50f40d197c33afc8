"""A loopback server that speaks S3: moto's, behind a front that fails, hangs or cuts the requests it is told to.

moto looks whether an object is there and stores it in two steps; the front lets one write in at a time, as S3 does.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

import botocore.loaders
import botocore.session
from botocore.retries.standard import ExponentialBackoff
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

SECRET = "a-secret-that-nobody-may-print"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAMORROWTESTS",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
#: How long a server that is slow, and well, waits in the middle of what it is about, unless it is told otherwise.
SLOW_SECONDS = 0.25
#: The request is answered with an error, with a page of somebody else's, with silence, by hanging up before or after it
#: is heeded, or with half of an answer. Two more, which a client has to bear, are ``slow`` and ``unsized``; and a list
#: of objects may be ``untold`` or go ``round``: there is more of it, at no place that is named or where one is already.
FAILURES = ("403", "500", "503", "404", "page", "hang", "cut", "lost", "half")
_loader = cache(botocore.loaders.create_loader)
_ERROR = "<Error><Code>{code}</Code><Message>Not for {secret}</Message></Error>"
_LIST = "<ListBucketResult><IsTruncated>true</IsTruncated>{more}</ListBucketResult>"
_MORE = {"untold": "", "round": "<NextContinuationToken>here</NextContinuationToken>"}
_CODES = {"403": "AccessDenied", "500": "InternalError", "503": "SlowDown", "409": "ConditionalRequestConflict"}


@cache
def _moto() -> tuple[str, int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    return server.get_host_and_port()


@dataclass(frozen=True)
class Bucket:
    """What lies in a bucket, seen and changed from behind."""

    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def names(self) -> list[str]:
        return sorted(key.name for key in self._known().values())

    def read(self, name: str) -> bytes:
        return bytes(self._known()[name].value)

    def write(self, name: str, data: bytes) -> None:
        _backend().put_object(self.name, name, data)

    def remove(self, name: str) -> None:
        _backend().delete_object(self.name, name)

    def age(self, name: str, written: datetime) -> None:
        self._known()[name].last_modified = written.astimezone(UTC).replace(tzinfo=None)

    def _known(self) -> Any:
        return _backend().buckets[self.name].keys


class S3Server(ThreadingHTTPServer):
    """The front; ``fail`` says per request, by its number from 1, its method and path, what goes wrong."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: str = "127.0.0.1", *, port: int = 0) -> None:
        super().__init__((address, port), _Handler)
        self.fail: Callable[[int, str, str], str | None] | None = None
        self.requests: list[str] = []
        self.heeds_conditions = True
        self.slow_seconds = SLOW_SECONDS
        self.released = threading.Event()
        self.writing = threading.Lock()
        self._counting = threading.Lock()
        self._open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_port}"

    def failure(self, method: str, path: str) -> str | None:
        """Count a request and return what is to go wrong with it."""
        with self._counting:
            self.requests.append(f"{method} {path}")
            return self.fail(len(self.requests), method, path) if self.fail else None

    def fail_request(self, number: int, how: str, *, tries: int = 1) -> None:
        """Let the ``number``-th request from now on go wrong, and those that follow it, ``tries`` in all."""
        self.requests.clear()
        self.fail = lambda n, method, path: how if number <= n < number + tries else None

    def recover(self) -> None:
        """Be well again, and hang up on whoever was kept waiting."""
        self.fail, self.heeds_conditions, self.slow_seconds = None, True, SLOW_SECONDS
        self.requests.clear()
        self.released.set()
        self.released = threading.Event()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def close(self) -> None:
        """Stop listening, and hang up on everybody."""
        self.released.set()
        self.shutdown()
        self.server_close()
        for connection in self._open:
            hang_up(connection)


@contextmanager
def s3_server(address: str = "127.0.0.1", *, port: int = 0) -> Iterator[S3Server]:
    """Run a front in a thread for the length of the block, with clients that are quick; its buckets outlive it."""
    with quick_clients():
        yield from _served(address, port)


def _served(address: str, port: int) -> Iterator[S3Server]:
    server = S3Server(address, port=port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


@contextmanager
def quick_clients() -> Iterator[None]:
    """Spare clients what takes their time: reading what S3 is from files, each anew, and pauses between two tries."""
    with (
        patch.object(botocore.session, "create_loader", _loader),
        patch.object(ExponentialBackoff, "delay_amount", lambda *_: 0.01),
    ):
        yield


def new_bucket() -> Bucket:
    """Make a bucket of a name of its own, behind all fronts."""
    _moto()
    bucket = Bucket(f"morrow-{uuid.uuid4().hex[:12]}")
    _backend().create_bucket(bucket.name, "us-east-1")
    return bucket


def hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _backend() -> Any:
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        how = self.server.failure(self.command, self.path.partition("?")[0])
        if how in _CODES:
            self._say(int(how), _ERROR.format(code=_CODES[how], secret=SECRET).encode())
        elif how in _MORE:
            self._say(200, _LIST.format(more=_MORE[how]).encode())
        elif how in ("404", "page"):
            self._say(404 if how == "404" else 502, b"<html>not here</html>")
        elif how in ("cut", "hang"):
            self._leave(self.server.released if how == "hang" else None)
        else:
            if how == "slow" and self.command != "GET":
                time.sleep(self.server.slow_seconds)
            self._pass_on(body, how)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - so do they

    def _pass_on(self, body: bytes, how: str | None) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("expect", "connection")}
        if not self.server.heeds_conditions:
            headers.pop("If-None-Match", None)
        behind = http.client.HTTPConnection(*_moto(), timeout=30)
        with self.server.writing:
            behind.request(self.command, self.path, body, headers)
            answer = behind.getresponse()
            said = answer.read()
        behind.close()
        if how == "lost":
            self._leave(None)
        else:
            slow = how == "slow" and self.command == "GET"
            headers = dict(answer.getheaders())
            self._say(answer.status, said, headers, half=how == "half", slow=slow, sized=how != "unsized")

    def _say(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        half: bool = False,
        slow: bool = False,
        sized: bool = True,
    ) -> None:
        kept = {n: v for n, v in (headers or {}).items() if n.lower() not in ("connection", "transfer-encoding")}
        if self.command != "HEAD" and status != 204:
            kept = {n: v for n, v in kept.items() if n.lower() != "content-length"}
            kept |= {"Content-Length": str(len(body))} if sized else {}
        whole = f"HTTP/1.1 {status} {http.client.responses[status]}\r\n"
        whole += "".join(f"{name}: {value}\r\n" for name, value in kept.items()) + "\r\n"
        sent = whole.encode() + (b"" if self.command == "HEAD" else body)
        middle = -len(body) // 2 - 1
        try:
            if slow:
                self.connection.sendall(sent[:middle])
                time.sleep(self.server.slow_seconds)
                sent = sent[middle:]
            self.connection.sendall(sent[:middle] if half else sent)
        except OSError:
            half = True
        if half or not sized:  # a body of no said length ends with the connection
            self._leave(None)

    def _leave(self, after: threading.Event | None) -> None:
        if after:
            after.wait(60)
        self.close_connection = True
        hang_up(self.connection)
