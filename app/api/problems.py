"""Every refusal in one shape: RFC 9457, ``application/problem+json``.

Beside the standard members a problem has ``code`` (stable), ``request_id``, the numbers behind the
message (``have``, ``need`` …) and, for 422, ``errors``: ``[{detail, pointer}]``. A pointer starts at the
JSON body, or at ``/path``, ``/query``, ``/header`` for what came outside of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.api.schemas.common import Problem
from app.db.json_ready import json_ready
from app.errors import (
    AppError,
    BadRequest,
    Conflict,
    Damaged,
    Denied,
    Limited,
    Missing,
    PreconditionFailed,
    PreconditionMissing,
    Unauthorized,
    Unavailable,
)
from app.observability.metrics import count_problem

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
_SHOWN_ERRORS = 100
_LOG = structlog.get_logger(__name__)

_STATUS_OF_FAMILY: tuple[tuple[type[AppError], int], ...] = (
    (Unauthorized, 401),
    (Denied, 403),
    (Limited, 429),
    (PreconditionMissing, 428),
    (PreconditionFailed, 412),
    (BadRequest, 422),
    (Missing, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (Damaged, 500),
)
_CODES_OF_STATUS = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}
_TITLES_OF_STATUS = {413: "Content Too Large"}  # newer than some Pythons' phrase
_FORMS = {
    "candidates": "Candidates are up to 50 tickers, with commas between them, such as AAPL,GOOG.",
    "level": "Levels are one to ten numbers between 0 and 100, with commas between them, such as 80,95.",
    "ticker": "A ticker has 1 to 15 characters of A-Z 0-9 . - = ^ &, and begins with A-Z, 0-9 or ^.",
    "tickers": "Tickers are up to 500, with commas between them, such as AAPL,MSFT.",
}
_TAGS_OF_UNIONS = {"one", "many", "pool", "walk_forward", "fixed_until", "fixed_share"}
_STANDARD_MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


class InvalidPageToken(BadRequest):
    """The page token is not one that this list gave out."""

    title = "Invalid page token"


def status_of(error: AppError) -> int:
    """Return the HTTP status of the family that ``error`` belongs to."""
    if isinstance(error, InvalidPageToken):
        return 400
    return next((status for family, status in _STATUS_OF_FAMILY if isinstance(error, family)), 500)


def problem_document(
    status: int, *, code: str, title: str, detail: str, instance: str, request_id: str | None, **facts: Any
) -> dict[str, Any]:
    """Return the members of a problem, ``facts`` behind the standard ones; ``None`` leaves out ``request_id``."""
    return {
        "type": f"urn:morrow:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        **({} if request_id is None else {"request_id": request_id}),
        **facts,
    }


def document_of(error: AppError, *, instance: str, request_id: str | None) -> dict[str, Any]:
    """Return ``error`` as a problem, of the request ``request_id`` or (``None``) within an answer that has others."""
    status = status_of(error)
    facts = dict(error.facts)
    if status == 422 and "errors" not in facts:
        facts["errors"] = [{"detail": error.detail, "pointer": error.pointer or ""}]
    return problem_document(
        status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        instance=instance,
        request_id=request_id,
        **{name: value for name, value in facts.items() if name not in _STANDARD_MEMBERS},
    )


def problem_response(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return ``document`` with its status; NaN becomes null, text that is no Unicode (lone surrogates) is replaced.

    It is counted by its code.
    """
    count_problem(document["code"])
    body = json.dumps(json_ready(document), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(body, status_code=document["status"], headers=dict(headers or {}), media_type=MEDIA_TYPE)


def refuse(request: Request, error: AppError) -> Response:
    """Return the answer that ``error`` is; those of ours are logged."""
    document = document_of(error, instance=request.url.path, request_id=request.state.request_id)
    headers = dict(error.facts.get("headers", {}))
    document.pop("headers", None)
    if document["status"] >= 500:
        _LOG.error("request_failed", **{**error.to_problem(), "path": request.url.path})
    if document["status"] in (429, 503):
        headers["Retry-After"] = str(error.facts.get("retry_after_seconds", RETRY_AFTER_SECONDS))
    return problem_response(document, headers)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that can refuse with ``statuses``; 500 and 503 are always among them."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, 500, 503})
    }


def body_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return ``problems`` for a route that reads a body."""
    return problems(400, 413, 415, 422, *statuses)


def install_problems(app: FastAPI) -> None:
    """Let every refusal of ``app`` leave as a problem; those nobody foresaw are the middleware's."""
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


def problem_schema() -> dict[str, Any]:
    """Return the JSON schema that ``problems`` refers to."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return schema | {"properties": {**schema["properties"], "errors": _errors_schema()}}


def _errors_schema() -> dict[str, Any]:
    text = {"type": "string"}
    item = {"type": "object", "properties": {"detail": text, "pointer": text}, "required": ["detail", "pointer"]}
    return {"type": "array", "items": item, "description": "What is wrong where; only with 422."}


async def _on_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101 - registered for this class alone
    return refuse(request, error)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    found = error.errors()
    if found and found[0]["type"] == "json_invalid":
        detail = f"The body is no JSON: {found[0]['ctx']['error']} at character {found[0]['loc'][-1]}."
        return _plain(request, 400, code="malformed_json", title="Malformed JSON", detail=detail)
    if media_type := _foreign_type(request, found):
        detail = f"Send the body as application/json, not {media_type}."
        return _plain(request, 415, code="unsupported_media_type", title="Unsupported Media Type", detail=detail)
    errors = [{"detail": _in_words(e), "pointer": _pointer(e["loc"])} for e in found[:_SHOWN_ERRORS]]
    first = f"{errors[0]['pointer'] or 'body'}: {errors[0]['detail']}" if errors else "The request is invalid."
    return _plain(request, 422, code="invalid_request", title="Invalid request", detail=first, errors=errors)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    status, phrase = error.status_code, HTTPStatus(error.status_code).phrase
    title = _TITLES_OF_STATUS.get(status, phrase)
    response = _plain(
        request, status, code=_CODES_OF_STATUS.get(status, "http_error"), title=title, detail=str(error.detail)
    )
    response.headers.update(error.headers or {})
    if status == 405:
        response.headers["Allow"] = ", ".join(request.app.state.methods_of(_path_inside(request)))
    return response


def _foreign_type(request: Request, found: Sequence[Mapping[str, Any]]) -> str | None:
    """Return what the body says it is when it was not read for that reason, else ``None``."""
    if not any(isinstance(error["input"], bytes) for error in found):
        return None
    return request.headers.get("content-type", "").partition(";")[0].strip() or "without a type"


def _path_inside(request: Request) -> str:
    """Return the path without the prefix that a proxy in front strips."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


def _plain(request: Request, status: int, *, code: str, title: str, detail: str, **facts: Any) -> Response:
    return problem_response(
        problem_document(
            status,
            code=code,
            title=title,
            detail=detail,
            instance=request.url.path,
            request_id=request.state.request_id,
            **facts,
        )
    )


def _in_words(error: Mapping[str, Any]) -> str:
    """Say what is wrong; of a form that is hard to read, say what it means."""
    if error["type"] == "string_pattern_mismatch":
        return str(_FORMS.get(str(error["loc"][-1]), error["msg"]))
    if error["type"] == "extra_forbidden":
        return f"There is no field {error['loc'][-1]!r} here."
    return str(error["msg"]).removeprefix("Value error, ")


def _pointer(location: Sequence[int | str]) -> str:
    """Turn pydantic's location into a JSON pointer; ``body`` is its root, a union's tag no part of it."""
    parts = [str(part) for part in location if part not in _TAGS_OF_UNIONS]
    if parts and parts[0] == "body":
        parts = parts[1:]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
