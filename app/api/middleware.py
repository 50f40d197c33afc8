"""What every request passes: its id, the metrics, the safety headers, and the net under unforeseen errors."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_document, problem_response
from app.observability.metrics import HTTP_IN_PROGRESS, observe_request

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
EVENT_STREAM = b"text/event-stream"
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"}
_SAFETY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_LOG = structlog.get_logger(__name__)


class RequestMiddleware:
    """Wrap ``app``; plain ASGI, because every forecast pays for what happens here.

    ``around_error`` is put around the answer to an unforeseen error, as what it does lies within this.
    """

    def __init__(self, app: ASGIApp, around_error: Callable[[ASGIApp], ASGIApp]) -> None:
        self._app = app
        self._around_error = around_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; ``HEAD`` is ``GET`` without the body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, method = time.perf_counter(), scope["method"]
        request_id = request_id_of(scope)
        scope.setdefault("state", {}).update(request_id=request_id, only_head=method == "HEAD")
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy: the server has to know that no body follows

        def measure(status: int) -> None:
            HTTP_IN_PROGRESS.dec()
            observe_request(
                method=method if method in _METHODS else "other",
                route=getattr(scope.get("route"), "path", "unmatched"),
                status=status,
                seconds=time.perf_counter() - started,
            )

        answer = _Answer(send, request_id, with_body=method != "HEAD", measure=measure)
        HTTP_IN_PROGRESS.inc()
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self._answer(scope, receive, answer)
        finally:
            answer.end()

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            _LOG.exception("unexpected_error", method=scope["method"], path=scope["path"])
            if not answer.status:
                await self._around_error(_internal_error(scope, answer.request_id))(scope, receive, answer.send)


class _Answer:
    """Lets an answer through, adds headers at its start, remembers its status and has it measured once."""

    def __init__(self, send: Send, request_id: str, *, with_body: bool, measure: Callable[[int], None]) -> None:
        self._send = send
        self.request_id = request_id
        self._with_body = with_body
        self._measure = measure
        self._is_measured = False
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass one ASGI message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            _add_headers(MutableHeaders(scope=message), self.request_id)
        elif not self._with_body:
            message = {**message, "body": b""}
        await self._send(message)
        if message["type"] == "http.response.start" and _is_stream(message):
            self.end()  # it may stay open for hours, which says nothing about how fast we answer

    def end(self) -> None:
        """Have the answer measured, unless it was."""
        if not self._is_measured:
            self._is_measured = True
            self._measure(self.status or 499)  # without a status the client went away


def request_id_of(scope: Scope) -> str:
    """Take the caller's id when it is harmless, else make one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex


def safety_headers(request_id: str) -> list[tuple[bytes, bytes]]:
    """Return what every answer carries that says nothing else: what it holds may load nothing at all."""
    return [(b"x-request-id", request_id.encode("ascii")), *_SAFETY]


def _is_stream(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(EVENT_STREAM) for name, value in start["headers"])


def _add_headers(headers: MutableHeaders, request_id: str) -> None:
    raw = headers.raw
    said = {name for name, _ in raw}
    raw += [one for one in (*safety_headers(request_id), (b"cache-control", b"no-store")) if one[0] not in said]


def _internal_error(scope: Scope, request_id: str) -> ASGIApp:
    """Answer without a word about the inside; the log has the rest under the same request id."""
    return problem_response(
        problem_document(
            500,
            code="internal_error",
            title="Internal error",
            detail="Something went wrong here; the log knows more under this request id.",
            instance=scope["path"],
            request_id=request_id,
        )
    )
