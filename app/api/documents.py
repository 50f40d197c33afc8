"""Answers as bytes, with a strong entity tag over exactly these bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from pydantic_core import to_json

Head = tuple[tuple[bytes, bytes], ...]

_VALIDATE = "no-cache"  # keep it, but ask before using it: a state changes with time alone


@dataclass(frozen=True)
class Ready:
    """An answer as it will be sent; ``expires_at`` is when time alone may change it."""

    body: bytes
    etag: str
    expires_at: datetime | None = None
    media_type: str = "application/json"

    def respond(self, request: Request, headers: Mapping[str, str] | None = None) -> Response:
        """Answer 200 with the body, or 304 without one when the client has these bytes already."""
        return self._response(request.headers.get("if-none-match"), headers or {})

    def is_with(self, condition: str) -> bool:
        """Whether a client whose ``If-None-Match`` is ``condition`` has these bytes; compares weakly, as that wants."""
        return condition.strip() == "*" or self.etag in {tag.strip().removeprefix("W/") for tag in condition.split(",")}

    @cached_property
    def full_head(self) -> Head:
        """Headers of the answer with its body."""
        return tuple(self._response(None, {}).raw_headers)

    @cached_property
    def unchanged_head(self) -> Head:
        """Headers of the answer without it."""
        return tuple(self._response(self.etag, {}).raw_headers)

    def _response(self, condition: str | None, headers: Mapping[str, str]) -> Response:
        tags = {"etag": self.etag, "vary": "Accept", "cache-control": _VALIDATE, **headers}
        if condition is not None and self.is_with(condition):
            return Response(status_code=304, headers=tags)
        return Response(self.body, headers=tags, media_type=self.media_type)


def ready(document: Any, *, expires_at: datetime | None = None) -> Ready:
    """Write ``document`` as JSON, without NaN and infinity, and tag it."""
    body = to_json(document, inf_nan_mode="null")
    return Ready(body, etag_of(body), expires_at)


def etag_of(body: bytes) -> str:
    """Return the strong entity tag of ``body``."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def path_to(request: Request, path: str) -> str:
    """Return ``path`` as clients reach it, behind whatever prefix a proxy strips."""
    return f"{request.scope.get('root_path', '')}{quote(path)}"


def etag_headers() -> dict[str, Any]:
    """Return the documentation of the headers of a tagged answer."""
    text = {"type": "string"}
    return {
        "ETag": {"description": "Strong tag of the bytes sent.", "schema": text},
        "Vary": {"description": "Accept", "schema": text},
    }


TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": etag_headers()},
    304: {"description": "If-None-Match names the present bytes."},
}
