"""A call as data: what to send and how to read the answer; nothing in here sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from app.client.errors import refusal_of, unexpected

T = TypeVar("T")
Schema = TypeVar("Schema", bound=BaseModel)

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """One request; ``repeatable`` says that sending it twice does what sending it once does.

    ``accepted`` are statuses beside 2xx whose body is an answer and no refusal. ``remembered`` answers are asked for
    again by their ETag.
    """

    method: str
    path: str
    read: Callable[[Answer], T]
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    repeatable: bool
    accepted: frozenset[int] = frozenset()
    remembered: bool = False

    def result(self, answer: Answer) -> T:
        """Return what the answer says.

        Raises:
            ApiError: it is a refusal, or cannot be read.
        """
        if not 200 <= answer.status < 300 and answer.status not in self.accepted:
            raise refusal_of(answer.status, answer.body, url=answer.url, headers=answer.headers)
        return self.read(answer)


# Several calls, each after the answer to the one before: it yields a call, and is sent what the call says.
Flow = Generator[Call[Any], Any, T]


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[T]):
    """A list in pages: ``page`` makes the call for the one that a token stands for, and ``items`` takes them out."""

    page: Callable[[str | None], Call[Any]]
    items: Callable[[Any], list[T]]


@dataclass(frozen=True, kw_only=True)
class Stream(Generic[Schema]):
    """Events told at ``path`` while the connection lasts, and the shapes of the ``kinds`` that are read."""

    path: str
    kinds: Mapping[str, type[Schema]]


def get(path: str, schema: type[Schema], **params: Any) -> Call[Schema]:
    """Return the call for a document; parameters that are ``None`` are left out."""
    return Call(method="GET", path=path, read=reading(schema), params=_query(params), repeatable=True)


def taking(call: Call[Any], take: Callable[[Any], T]) -> Call[T]:
    """Return ``call`` with what ``take`` takes out of its document as the result."""
    return replace(call, read=lambda answer: take(call.read(answer)))


def listing(path: str, schema: type[BaseModel], **params: Any) -> Listing[Any]:
    """Return a list whose pages are documents of ``schema`` with ``items``."""
    return Listing(
        page=lambda token: get(path, schema, **params, page_token=token),
        items=lambda page: list(page.items),
    )


def reading(schema: type[Schema]) -> Callable[[Answer], Schema]:
    """Return the reader of a JSON answer of the shape ``schema``."""
    return lambda answer: parsed(answer.body, schema, status=answer.status, url=answer.url)


def parsed(body: bytes | str, schema: type[Schema], *, status: int, url: str) -> Schema:
    """Return the document in ``body``.

    Raises:
        Unexpected: it is none of the shape ``schema``.
    """
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(map(str, first["loc"]))
        raise unexpected(status, f"{where}: {first['msg']}" if where else first["msg"], url=url) from None


def raw(answer: Answer) -> Any:
    """Return a JSON answer as it is.

    Raises:
        Unexpected: it is no JSON.
    """
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise unexpected(answer.status, f"{error}.", url=answer.url) from None


def json_bytes(body: Any) -> bytes:
    """Write a body; dates and the schemas of requests are understood."""
    return json.dumps(body, default=_plain, allow_nan=False).encode()


def segment(text: str) -> str:
    """Return ``text`` as one part of a path."""
    return quote(text, safe="")


def commas(values: Any, form: str = "") -> str | None:
    """Return values as one parameter; ``None`` stays absent."""
    return None if values is None else ",".join(format(value, form) for value in values)


def _query(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in params.items() if value is not None}


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    raise TypeError(f"{type(value).__name__} cannot be sent")
