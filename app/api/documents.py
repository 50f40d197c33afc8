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

_VALIDATE = (b"cache-control", b"no-cache")  # keep it, but ask before using it

# Nobody can foresee a promotion or a rollback by hand, which change the answer at once: a copy is shown unasked for a
# minute at most, and never beyond what time alone changes. ``private``: once answers depend on who asks, a cache that
# people share must not hand them on.
_LONGEST_SECONDS = 60
_FRESH = [
    _VALIDATE,
    *(
        (b"cache-control", f"private, max-age={seconds}, must-revalidate".encode())
        for seconds in range(1, _LONGEST_SECONDS + 1)
    ),
]


@dataclass(frozen=True)
class Ready:
    """An answer as it will be sent; ``expires_at`` is when time alone may change it, ``None`` where that is unknown.

    ``token`` continues a list whose body has no place to say so. ``is_partial``: a part of it is a problem, which
    something else than time may mend at any moment.
    """

    body: bytes
    etag: str
    expires_at: datetime | None = None
    media_type: str = "application/json"
    token: str | None = None
    is_partial: bool = False

    def respond(
        self, request: Request, headers: Mapping[str, str] | None = None, *, now: datetime | None = None
    ) -> Response:
        """Answer 200 with the body, or 304 without one when the client has these bytes already.

        Only who says that it is ``now`` lets the client keep it unasked for a while.
        """
        response = self._response(request.headers.get("if-none-match"), headers or {})
        response.raw_headers.append(self.cache_control(now) if now else _VALIDATE)
        return response

    def is_with(self, condition: str) -> bool:
        """Whether a client whose ``If-None-Match`` is ``condition`` has these bytes; compares weakly, as that wants."""
        return condition.strip() == "*" or self.etag in {tag.strip().removeprefix("W/") for tag in condition.split(",")}

    def cache_control(self, now: datetime) -> tuple[bytes, bytes]:
        """Return the header that says for how long from ``now`` on the answer may be shown unasked."""
        if self.expires_at is None or self.is_partial:
            return _VALIDATE
        seconds = (self.expires_at - now).total_seconds()
        return _FRESH[max(min(int(seconds), _LONGEST_SECONDS), 0)]

    @cached_property
    def full_head(self) -> Head:
        """Headers of the answer with its body, all but ``cache_control``."""
        return tuple(self._response(None, {}).raw_headers)

    @cached_property
    def unchanged_head(self) -> Head:
        """Headers of the answer without it, all but ``cache_control``."""
        return tuple(self._response(self.etag, {}).raw_headers)

    def _response(self, condition: str | None, headers: Mapping[str, str]) -> Response:
        tags = {"etag": self.etag, "vary": "Accept", **headers}
        if self.token is not None:
            tags["x-next-page-token"] = self.token
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
    return f"{root_path_of(request)}{quote(path)}"


def root_path_of(request: Request) -> str:
    """Return the prefix that a proxy strips from the paths of requests, mostly none."""
    root_path: str = request.scope.get("root_path", "")
    return root_path


def etag_headers(**others: str) -> dict[str, Any]:
    """Return the documentation of the headers of a tagged answer, and of ``others`` by name."""
    text = {"type": "string"}
    return {
        **{name: {"description": what, "schema": text} for name, what in others.items()},
        "ETag": {"description": "Strong tag of the bytes sent.", "schema": text},
        "Vary": {
            "description": "`Accept`, `Authorization`, and `Origin` where pages of other origins may ask.",
            "schema": text,
        },
        "Cache-Control": {
            "description": "`no-cache`, or for how many seconds a forecast may be shown again unasked: "
            "`private, max-age=60, must-revalidate` at most, and never beyond what time alone changes. A moved alias "
            "may change it sooner; who must know asks with `Cache-Control: no-cache`.",
            "schema": text,
        },
    }


TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": etag_headers()},
    304: {"description": "If-None-Match names the present bytes."},
}
