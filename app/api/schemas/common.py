"""Types that several routes share."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

TICKER_PATTERN = r"[A-Za-z0-9^][A-Za-z0-9.\-=^&]{0,14}"
NEXT_PAGE = "`page_token` of the next page; absent on the last one."
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _only_iso(value: object) -> object:
    """Let nothing but ``YYYY-MM-DD`` through: pydantic would also read numbers and times as dates."""
    if isinstance(value, str) and not _ISO_DATE.fullmatch(value):
        raise ValueError("Not an ISO date (YYYY-MM-DD)")
    if not isinstance(value, str | date):
        raise ValueError("Not an ISO date (YYYY-MM-DD)")
    return value


def integral(value: object) -> object:
    """Take ``2.0`` for 2: JSON knows one kind of number only."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _rfc3339(value: object) -> object:
    """Refuse numbers that pydantic would read as seconds since 1970."""
    if isinstance(value, str) and "-" not in value[:5]:
        raise ValueError("Not an RFC 3339 time")
    return value


def _in_utc(moment: datetime) -> datetime:
    """Move the time to UTC; at either end of the calendar there may be no such moment."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Beyond the calendar in UTC") from None


Ticker = Annotated[
    str,
    StringConstraints(pattern=f"^{TICKER_PATTERN}$"),
    AfterValidator(str.upper),
    Field(description="Ticker, upper-cased on arrival.", examples=["MSFT"]),
]
Integer = Annotated[int, BeforeValidator(integral)]
VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(integral)]
IsoDate = Annotated[date, BeforeValidator(_only_iso), Field(strict=False)]
Time = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_in_utc), Field(strict=False)]
# PostgreSQL cannot store NUL.
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]


class Request(BaseModel):
    """A request body: unknown fields, NaN, infinity and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Document(BaseModel):
    """An answer; later versions of the service may add fields."""

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="null")


class Problem(Document):
    """RFC 9457 problem: what went wrong, in words for people and in codes and numbers for programs."""

    type: str = Field(description="URN made of the code.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable name of what went wrong.")
    request_id: str


class JobProblem(Document):
    """Why a job failed: a problem without the parts that only a request has."""

    code: str
    title: str
    detail: str


class Links(Document):
    """Paths of related resources."""

    self: str


class Finding(Document):
    """What the audit of the bars found."""

    code: str
    severity: str
    detail: str
    count: int


Json = dict[str, Any]
Moment = datetime
