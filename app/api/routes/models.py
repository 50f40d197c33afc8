"""Tickers and their versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog
from fastapi import Request, Response
from pydantic import TypeAdapter

from app.api.audited import audited
from app.api.dependencies import DEFAULT_SIZE, PageSize, PageToken, TheHotAnswers, TheServices, TickerPath, VersionPath
from app.api.documents import TAGGED, ready
from app.api.model_documents import carried, model_row, scorecard_document, version_document, version_row
from app.api.pagination import listed, page_of, position_of
from app.api.problems import problems
from app.api.routes import router_of
from app.api.schemas.common import Ticker, VersionNumber
from app.api.schemas.models import ModelsOut, ScorecardOut, VersionOut, VersionsOut
from app.domain.version import VersionSummary
from app.errors import JobActive, NoModelYet, StoreUnavailable
from app.forecasting.services import Services
from app.jobs.queries import active_on
from app.registry import aliases, audit, editions, listings, versions

_LOG = structlog.get_logger(__name__)
router = router_of("models")
_TICKERS, _VERSIONS = "models", "versions"
_BY_TICKER, _BY_NUMBER = TypeAdapter(tuple[Ticker]), TypeAdapter(tuple[VersionNumber])
GONE: dict[int | str, dict[str, Any]] = {204: {"description": "It is gone, with its files."}}


@router.get("/v1/models", response_model=ModelsOut, responses={**TAGGED, **problems(400, 422)}, summary="All tickers")
def list_models(
    services: TheServices, request: Request, page_size: PageSize = DEFAULT_SIZE, page_token: PageToken = None
) -> Response:
    """List the tickers that have a version: champion, latest version, headline metrics and state."""
    after = position_of(_TICKERS, page_token, _BY_TICKER)[0] if page_token is not None else None
    with services.database.read() as tx:
        rows = listings.overview(tx, after=after, limit=page_size + 1)
        page, token = page_of(rows, size=page_size, list_name=_TICKERS, position=lambda row: (row["ticker"],))
        names: dict[str, dict[str, int]] = {row["ticker"]: {} for row in page}
        for ticker, alias, number in aliases.aliased(tx, list(names)):
            names[ticker][alias] = number
    items = [model_row(row, names[row["ticker"]], request, now=services.clock()) for row in page]
    return ready(listed(items, token)).respond(request)


@router.get(
    "/v1/models/{ticker}",
    response_model=VersionsOut,
    responses={**TAGGED, **problems(400, 404, 422)},
    summary="Versions of a ticker",
)
def list_versions(
    ticker: TickerPath,
    services: TheServices,
    request: Request,
    page_size: PageSize = DEFAULT_SIZE,
    page_token: PageToken = None,
) -> Response:
    """List the ticker's versions, newest first."""
    before = position_of(_VERSIONS, page_token, _BY_NUMBER)[0] if page_token is not None else None
    with services.database.read() as tx:
        rows = listings.list_versions(tx, ticker, before=before, limit=page_size + 1)
        if not rows and before is None:
            raise NoModelYet(f"{ticker} has no version yet; POST /v1/train makes one.", ticker=ticker)
        names = aliases.all_aliases(tx, ticker)
    page, token = page_of(rows, size=page_size, list_name=_VERSIONS, position=_position)
    items = [version_row(version, carried(names, version.number), request) for version in page]
    return ready({"ticker": ticker, "aliases": names, **listed(items, token)}).respond(request)


@router.delete(
    "/v1/models/{ticker}", status_code=204, responses={**GONE, **problems(404, 409, 422)}, summary="Delete a ticker"
)
def delete_ticker(ticker: TickerPath, services: TheServices, hot: TheHotAnswers, request: Request) -> Response:
    """Delete all versions of a ticker and their files; not while an alias or a job needs one."""
    with audited(request, services, audit.TICKER_DELETED, ticker) as (tx, facts):
        if active := active_on(tx, ticker):
            raise JobActive(f"A job for {ticker} is under way; cancel it first.", ticker=ticker, jobs=active)
        locations = versions.delete_ticker(tx, ticker)
        facts["versions"] = len(locations)
        edition = editions.current(tx)
    hot.saw(edition)
    _remove_files(locations, services)
    return Response(status_code=204)


@router.get(
    "/v1/models/{ticker}/versions/{version}",
    response_model=VersionOut,
    responses={**TAGGED, **problems(404, 422)},
    summary="A version",
)
def get_version(ticker: TickerPath, version: VersionPath, services: TheServices, request: Request) -> Response:
    """Show spec, data, metrics, files, libraries and time spent."""
    with services.database.read() as tx:
        found = versions.get(tx, ticker, version)
        names = aliases.all_aliases(tx, ticker)
    return ready(version_document(found, carried(names, version), request)).respond(request)


@router.delete(
    "/v1/models/{ticker}/versions/{version}",
    status_code=204,
    responses={**GONE, **problems(404, 409, 422)},
    summary="Delete a version",
)
def delete_version(
    ticker: TickerPath, version: VersionPath, services: TheServices, hot: TheHotAnswers, request: Request
) -> Response:
    """Delete a version and its files; not while an alias points to it."""
    with audited(request, services, audit.VERSION_DELETED, f"{ticker} {version}") as (tx, _facts):
        location = versions.delete(tx, ticker, version)
        edition = editions.current(tx)
    hot.saw(edition)
    _remove_files([location], services)
    return Response(status_code=204)


@router.get(
    "/v1/models/{ticker}/versions/{version}/scorecard",
    response_model=ScorecardOut,
    responses={**TAGGED, **problems(404, 422)},
    summary="Proof of skill",
)
def scorecard(ticker: TickerPath, version: VersionPath, services: TheServices, request: Request) -> Response:
    """Show each contestant's metrics out of sample, with skill, tests and calibration."""
    with services.database.read() as tx:
        found = versions.get(tx, ticker, version)
    return ready(scorecard_document(found)).respond(request)


def _position(version: VersionSummary) -> tuple[int]:
    return (version.number,)


def _remove_files(locations: Iterable[str], services: Services) -> None:
    """Remove the files of versions that are no more; what the store keeps for now, the workers' sweep takes."""
    try:
        for location in locations:
            services.artifacts.delete(location)
    except StoreUnavailable as error:
        _LOG.warning("files of deleted versions wait for the sweep", reason=error.detail)
