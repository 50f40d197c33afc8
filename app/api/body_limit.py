"""No request body larger than the service is set to take, announced or not."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_document, problem_response


class BodyLimitMiddleware:
    """Answer 413 to bodies of more than ``max_bytes``.

    FastAPI's own limit would answer plain text around every handler of ours.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse by the announced length, else count what comes."""
        announced = _announced(scope) if scope["type"] == "http" else None
        if announced is None:
            await self._app(scope, receive, send)
        elif announced > self._max_bytes:
            await self._refuse(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self._max_bytes:
                raise HTTPException(413, self._detail)
            return message

        return counted

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        document = problem_document(
            413,
            code="body_too_large",
            title="Content Too Large",
            detail=self._detail,
            instance=request.url.path,
            request_id=request.state.request_id,
        )
        await problem_response(document)(scope, receive, send)

    @property
    def _detail(self) -> str:
        return f"A body may have {self._max_bytes} bytes."


def _announced(scope: Scope) -> int | None:
    """Return the announced length, 0 when a body comes in chunks, ``None`` when there is none."""
    announced = None
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            announced = int(value)
        elif name == b"transfer-encoding":
            announced = announced or 0
    return announced
