"""Opaque page tokens over keyset positions."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from app.api.problems import InvalidPageToken

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 50
_CHECK_BYTES = 6

T = TypeVar("T")


def token_of(list_name: str, position: Sequence[str | int]) -> str:
    """Return the token that continues the list ``list_name`` behind ``position``."""
    body = json.dumps(list(position), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_check(list_name, body) + body).decode().rstrip("=")


def position_of(list_name: str, token: str, *, kinds: tuple[type, ...]) -> list[Any]:
    """Return the position inside ``token``, one value of each of ``kinds``.

    Raises:
        InvalidPageToken: the list ``list_name`` never gave this token out; start from the first page.
    """
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise _refused() from None
    check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if check != _check(list_name, body) or token_of(list_name, json.loads(body)) != token:
        raise _refused()
    values: list[Any] = json.loads(body)
    if len(values) != len(kinds) or not all(isinstance(v, kind) for v, kind in zip(values, kinds, strict=True)):
        raise _refused()
    return values


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


def _refused() -> InvalidPageToken:
    return InvalidPageToken("This page token was not given out by this list; start from the first page.")
