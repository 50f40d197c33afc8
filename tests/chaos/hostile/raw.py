"""What is no proper HTTP at all, written to the socket as it is."""

from __future__ import annotations

import random
import socket
from urllib.parse import urlsplit

from tests.chaos.hostile.answers import Answers

_HOST = b"Host: x\r\n"
_JSON = b"Content-Type: application/json\r\n"
LINES = (
    *(
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\n",
    ),
    *(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n", b"GET /%00%ff HTTP/1.1\r\n" + _HOST + b"\r\n"),
    *(
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET //livez HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"GET /../livez HTTP/1.1\r\n" + _HOST + b"\r\n",
    ),
    *(
        b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"TRACE / HTTP/1.1\r\n" + _HOST + b"\r\n",
    ),
    b"GET http://other/livez HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET /livez HTTP/1.1\r\n" + _HOST + b"X: " + b"b" * 200_000 + b"\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n" + _HOST + b"\r\n".join(b"X%d: y" % n for n in range(2000)) + b"\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n" + _HOST + b"X-Request-ID: \xff\xfe\x01\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\n"
    + _HOST
    + b'If-None-Match: W/"\xff", *,,,\r\nRange: bytes=9-1\r\nAccept: \xff\r\n\r\n',
    b"GET /v1/models?page_size=%ff&page_token=%c3%28 HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + _JSON + b"Content-Length: 5\r\n\r\n{}",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + _JSON + b"Content-Length: -5\r\n\r\n{}",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + _JSON + b"Content-Length: 99999999999\r\n\r\n{}",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + _JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + _JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + _JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/train HTTP/1.1\r\n"
    + _HOST
    + _JSON
    + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/train HTTP/1.1\r\n"
    + _HOST
    + _JSON
    + b"Idempotency-Key: "
    + b"k" * 9000
    + b"\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + _JSON + b"Idempotency-Key: \xff\x01\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + _JSON + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/train HTTP/1.1\r\n" + _HOST + b"Content-Encoding: gzip\r\n" + _JSON + b"Content-Length: 2\r\n\r\n{}",
    b"GET /v1/jobs/"
    + b"0" * 32
    + b"/events HTTP/1.1\r\n"
    + _HOST
    + b"Last-Event-ID: \xff\xff"
    + b"9" * 4000
    + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + _HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
)


def send(url: str, answers: Answers, *, count: int, number: int) -> None:
    """Send ``count`` openings of a connection; an answer or a closed connection will do, a 500 will not."""
    dice = random.Random(number)
    address = urlsplit(url)
    for _ in range(count):
        data = bytearray(dice.choice(LINES))
        for _ in range(dice.choice((0, 0, 1, 3))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        status, answer = _said((str(address.hostname), address.port or 80), bytes(data))
        answers.sent["raw"] += 1
        answers.statuses[str(status) if status else "closed"] += 1
        if status == 500:
            answers.offend("answered 500", f"{bytes(data)!r:.1500} -> {answer!r:.600}")


def _said(address: tuple[str, int], data: bytes) -> tuple[int | None, bytes]:
    """Return the status and the first bytes of the answer, ``None`` when the connection was closed without."""
    try:
        with socket.create_connection(address, timeout=5) as caller:
            caller.settimeout(0.5)
            caller.sendall(data)
            caller.shutdown(socket.SHUT_WR)
            said = caller.recv(65_536)
    except OSError:
        return None, b""
    words = said.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else None), said
