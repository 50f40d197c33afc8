"""The door: a forecast in memory leaves from here, before anything of the framework runs."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api.hot_answers import HotAnswers
from app.api.middleware import request_id_of, safety_headers
from app.observability.metrics import observe_request

_LATEST, _MANY = "/v1/forecasts/{ticker}", "/v1/forecasts"
_WITH_A_BODY = frozenset({b"content-length", b"transfer-encoding"})


class Front:
    """Answers from memory as the routes would: the same bytes, headers and counts.

    What is not at hand, and whatever is unusual about a request, is left to the routes: a body, a header that
    comes twice, and with ``with_cors`` a foreign origin.
    """

    def __init__(self, hot: HotAnswers, *, with_cors: bool) -> None:
        self._hot = hot
        self._unusual = _WITH_A_BODY | ({b"origin"} if with_cors else set())

    async def answer(self, scope: Scope, send: Send) -> bool:
        """Answer one request, or return ``False`` and have done nothing."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return False
        started, method, headers = time.perf_counter(), scope["method"], scope["headers"]
        fields = dict(headers)
        if len(fields) != len(headers) or not self._unusual.isdisjoint(fields):
            return False
        found = self._hot.at_hand((scope["path"], scope["query_string"]))
        if found is None:
            return False
        condition = fields.get(b"if-none-match")
        if condition is not None and found.is_with(condition.decode("latin-1")):
            status, head, body = 304, found.unchanged_head, b""
        else:
            status, head, body = 200, found.full_head, found.body
        await _send(send, status, [*head, *safety_headers(request_id_of(scope))], b"" if method == "HEAD" else body)
        route = _MANY if scope["path"].endswith(_MANY) else _LATEST
        observe_request(method=method, route=route, status=status, seconds=time.perf_counter() - started)
        return True


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
