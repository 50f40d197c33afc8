"""What can go wrong between a program and the service.

ClientError
├── ApiError        an answer that is a refusal: ``status``, ``code``, ``detail``, ``facts``, ``request_id``
│   ├── Invalid         400, 413, 415, 422: what was asked cannot be done; ``errors`` name the fields
│   ├── Denied          401, 403: no valid key was sent, or one that may not do this
│   ├── NotFound        404: it is not there (yet)
│   ├── Conflict        409, 412, 428: it is already so, or somebody else was first
│   ├── Unavailable     429, 502, 503, 504: later, perhaps; safe calls were repeated before this is raised
│   └── Unexpected      an answer that is none of Morrow's, such as a proxy's page
├── Unreachable     nobody answers; an ``OSError`` too
├── JobFailed       the job came to nothing; ``problem`` says why
└── JobCancelled    somebody cancelled the job

Each carries ``problem``: a problem document, or the part of one that is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.client.addresses import shown

if TYPE_CHECKING:
    from app.api.schemas.jobs import JobOut

_STANDARD_MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}


class ClientError(Exception):
    """Base of all that the client raises on purpose."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{problem['detail']} [{problem['code']}]")
        self.problem = dict(problem)

    @property
    def code(self) -> str:
        """Stable name of what went wrong."""
        return str(self.problem["code"])

    @property
    def detail(self) -> str:
        """What went wrong, in words."""
        return str(self.problem["detail"])

    @property
    def facts(self) -> dict[str, Any]:
        """The numbers behind the words, such as ``have`` and ``need``."""
        return {name: value for name, value in self.problem.items() if name not in _STANDARD_MEMBERS}


class ApiError(ClientError):
    """The answer was a refusal; ``headers`` are those of it, their names in lower case."""

    def __init__(self, problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem)
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return int(self.problem["status"])

    @property
    def request_id(self) -> str | None:
        """Under which the service's log has the request; ``None`` when something before it answered."""
        return self.problem.get("request_id")

    @property
    def errors(self) -> list[dict[str, str]]:
        """With status 422, what is wrong where: ``detail`` and ``pointer``."""
        return list(self.problem.get("errors", ()))


class Invalid(ApiError):
    """What was asked cannot be done; change it."""


class Denied(ApiError):
    """No valid key was sent, or one that may not do this."""


class NotFound(ApiError):
    """It is not there (yet)."""


class Conflict(ApiError):
    """It is already so, or somebody else was first; look and decide again."""


class Unavailable(ApiError):
    """The service, or something that it needs, cannot answer now; try again later."""


class Unexpected(ApiError):
    """The answer is none of Morrow's: something else listens there or stands between."""


class Unreachable(ClientError, ConnectionError):
    """Nobody answers at the address."""


class JobFailed(ClientError):
    """A job came to nothing; ``job`` is its document."""

    def __init__(self, problem: Mapping[str, Any], job: JobOut) -> None:
        super().__init__(problem)
        self.job = job


class JobCancelled(JobFailed):
    """Somebody cancelled the job; ``job`` is its document."""


_FAMILIES: dict[int, type[ApiError]] = {
    **dict.fromkeys((400, 413, 415, 422), Invalid),
    **dict.fromkeys((401, 403), Denied),
    404: NotFound,
    **dict.fromkeys((409, 412, 428), Conflict),
    **dict.fromkeys((429, 502, 503, 504), Unavailable),
}


def refusal_of(status: int, body: bytes, *, url: str, headers: Mapping[str, str]) -> ApiError:
    """Return the error that an answer with ``status`` stands for; the body may be a proxy's page or nothing at all."""
    family = _FAMILIES.get(status, ApiError)
    problem = {"code": f"http_{status}", "title": "Refused", "status": status}
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if isinstance(said, dict) and "code" in said and "detail" in said:
        return family({**problem, **said}, headers)
    media_type = headers.get("content-type", "").partition(";")[0]
    problem["detail"] = f"{shown(url)} answered {status} with {media_type or 'nothing that says what it is'}."
    return family(problem, headers)


def unexpected(status: int, why: str, *, url: str) -> Unexpected:
    """Return the error that an answer stands for which cannot be read."""
    detail = f"{shown(url)} answered {status}, but not as Morrow does: {why}"
    return Unexpected({"code": "unexpected_answer", "title": "Unexpected answer", "status": status, "detail": detail})


def kept_changing(times: int) -> ClientError:
    """Return the error for an edition that changed each time before its pages were read."""
    detail = f"The edition changed {times} times while its pages were read."
    return ClientError({"code": "edition_changed", "title": "Edition changed", "detail": detail})


def unreachable(url: str, why: Exception) -> Unreachable:
    """Return the error for a service that does not answer."""
    reason = str(why) or type(why).__name__
    return Unreachable(
        {"code": "unreachable", "title": "Unreachable", "detail": f"No answer from {shown(url)}: {reason}."}
    )
