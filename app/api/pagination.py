"""Opaque page tokens over keyset positions."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter

from app.api.problems import InvalidPageToken
from app.api.schemas.common import Text, Time

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 50
_CHECK_BYTES = 6

BY_TIME = TypeAdapter(tuple[Time, Text])
"""The positions of a list that is ordered by time, and by id where that is the same."""

T = TypeVar("T")
Position = TypeVar("Position")


def token_of(list_name: str, position: Sequence[str | int]) -> str:
    """Return the token that continues the list ``list_name`` behind ``position``."""
    body = json.dumps(list(position), separators=(",", ":")).encode()
    return _written(_check(list_name, body) + body)


def position_of(list_name: str, token: str, shape: TypeAdapter[Position]) -> Position:
    """Return the position inside ``token``, which has the ``shape`` of this list's positions.

    Raises:
        InvalidPageToken: the list ``list_name`` never gave this token out; start from the first page.
    """
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check == _check(list_name, body) and token == _written(raw):
            return shape.validate_json(body)
    except ValueError:  # no ASCII, no base64, no JSON, or another shape
        pass
    raise InvalidPageToken("This page token was not given out by this list; start from the first page.")


def page_of(
    rows: Sequence[T], *, size: int, list_name: str, position: Callable[[T], Sequence[str | int]]
) -> tuple[list[T], str | None]:
    """Cut ``rows`` (one more than ``size`` was asked for) to the page; a token when there is more."""
    page = list(rows[:size])
    return page, token_of(list_name, position(page[-1])) if len(rows) > size else None


def listed(items: list[Any], token: str | None) -> dict[str, Any]:
    """Return the answer of a list; the token is absent at its end."""
    return {"items": items} | ({"next_page_token": token} if token else {})


def _check(list_name: str, body: bytes) -> bytes:
    """Short checksum: a token of another list, or one retyped wrongly, is noticed."""
    return hashlib.sha256(list_name.encode() + b"\0" + body).digest()[:_CHECK_BYTES]


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
