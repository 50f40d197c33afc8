"""The door: a forecast in memory leaves from here, before anything of the framework runs."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api.documents import Head
from app.api.guard import Guard
from app.api.hot_answers import HotAnswers, key_in
from app.api.middleware import request_id_of, safety_headers
from app.observability.metrics import observe_request

_WITH_A_BODY = frozenset({b"content-length", b"transfer-encoding"})


class Front:
    """Answers from memory as the routes would: the same bytes, headers and counts.

    What is not at hand, and whatever is unusual about a request, is left to the routes: a body, a header that
    comes twice, and with ``with_cors`` a foreign origin. So are those whom ``guard`` has to refuse.
    """

    def __init__(self, hot: HotAnswers, guard: Guard, *, with_cors: bool) -> None:
        self._hot = hot
        self._guard = guard
        # As the guard's answers vary, and where foreign origins would be answered with further headers.
        self._varies = b", Authorization, Origin" if with_cors else b", Authorization"
        self._unusual = _WITH_A_BODY | ({b"origin"} if with_cors else set())

    async def answer(self, scope: Scope, send: Send) -> bool:
        """Answer one request, or return ``False`` and have done nothing."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return False
        started, method, headers = time.perf_counter(), scope["method"], scope["headers"]
        fields = dict(headers)
        if len(fields) != len(headers) or not self._unusual.isdisjoint(fields):
            return False
        caller = self._guard.reader_at_once(fields.get(b"authorization"), scope)
        kept = self._hot.at_hand(key_in(scope, fields.get(b"accept"))) if caller else None
        if caller is None or kept is None or not await self._guard.counts_read(caller, scope):
            return False
        found = kept.ready
        condition = fields.get(b"if-none-match")
        if condition is not None and found.is_with(condition.decode("latin-1")):
            status, head, body = 304, found.unchanged_head, b""
        else:
            status, head, body = 200, found.full_head, found.body
        whole = [*self._varied(head), found.cache_control(self._hot.clock()), *safety_headers(request_id_of(scope))]
        await _send(send, status, whole, b"" if method == "HEAD" else body)
        observe_request(method=method, route=kept.route, status=status, seconds=time.perf_counter() - started)
        return True

    def _varied(self, head: Head) -> Head:
        return tuple((name, value + self._varies if name == b"vary" else value) for name, value in head)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class MorrowApi(FastAPI):
    """FastAPI behind ``front``."""

    def __init__(self, front: Front, **options: Any) -> None:
        super().__init__(**options)
        self.front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not await self.front.answer(scope, send):
            await super().__call__(scope, receive, send)
