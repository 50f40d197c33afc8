"""What routes ask for, as annotated types: the services, who asks, and the usual parameters."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, StringConstraints

from app.api.hot_answers import HotAnswers
from app.api.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from app.api.readiness import Readiness
from app.api.schemas.common import TICKER_PATTERN
from app.api.watch import Watch
from app.domain.access import Caller
from app.forecasting.services import Services


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _hot_answers(request: Request) -> HotAnswers:
    hot: HotAnswers = request.app.state.hot_answers
    return hot


async def _readiness(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.readiness
    return readiness


async def _watch(request: Request) -> Watch:
    watch: Watch = request.app.state.watch
    return watch


def caller_of(request: Request) -> Caller:
    """Return who asks, as the guard found out."""
    caller: Caller = request.state.caller
    return caller


async def _caller(request: Request) -> Caller:
    return caller_of(request)


def _at_most_a_page(size: int) -> int:
    return min(size, MAX_PAGE_SIZE)


TheServices = Annotated[Services, Depends(_services)]
TheHotAnswers = Annotated[HotAnswers, Depends(_hot_answers)]
TheReadiness = Annotated[Readiness, Depends(_readiness)]
TheWatch = Annotated[Watch, Depends(_watch)]
TheCaller = Annotated[Caller, Depends(_caller)]

TickerPath = Annotated[
    str,
    Path(pattern=f"^{TICKER_PATTERN}$", description="Ticker, upper-cased on arrival.", examples=["MSFT"]),
    AfterValidator(str.upper),
]
VersionPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="Version number.", examples=[1])]
AliasPath = Annotated[str, Path(pattern="^[a-z][a-z0-9_-]{0,31}$", description="Alias.", examples=["champion"])]
ArtifactPath = Annotated[str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["model.onnx"])]
JobPath = Annotated[str, Path(pattern="^[0-9A-Za-z_-]{1,64}$", description="Job id.")]

PageSize = Annotated[
    int,
    Query(ge=1, description=f"Items a page; more than {MAX_PAGE_SIZE} means {MAX_PAGE_SIZE}."),
    AfterValidator(_at_most_a_page),
]
PageToken = Annotated[
    str | None, Query(max_length=512, description="`next_page_token` of the page before; absent: the first page.")
]
DEFAULT_SIZE = DEFAULT_PAGE_SIZE

IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(pattern="^[!-~]{1,255}$")] | None,
    Header(description="Sent again with the same body within 24 h, the first answer comes again."),
]
