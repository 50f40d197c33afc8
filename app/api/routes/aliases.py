"""Where aliases point, changed only by those who know where they point now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from sqlalchemy import Connection

from app.api.audited import audited
from app.api.dependencies import AliasPath, TheHotAnswers, TheServices, TickerPath, caller_of
from app.api.documents import TAGGED, Ready, etag_headers, ready
from app.api.model_documents import alias_document, change_document
from app.api.problems import body_problems, problems
from app.api.routes import router_of
from app.api.schemas.common import Time
from app.api.schemas.models import AliasHistoryOut, AliasIn, AliasOut
from app.domain.spec import NetworkSpec
from app.domain.version import CHAMPION, AliasChange, ModelVersion
from app.errors import (
    AppError,
    Conflict,
    CorruptArtifact,
    CorruptRecord,
    NoSuchAlias,
    NotPromotable,
    PreconditionFailed,
    PreconditionMissing,
)
from app.forecasting.loaded_models import load_predictor
from app.forecasting.services import Services
from app.registry import aliases, audit, editions, tickers, versions

router = router_of("aliases")
_PATH = "/v1/models/{ticker}/aliases/{alias}"
_CHANGED: dict[int | str, dict[str, Any]] = {200: {"headers": etag_headers()}}

IfMatch = Annotated[str | None, Header(description="ETag of the present state (`GET` of this path gives it).")]
IfNoneMatch = Annotated[str | None, Header(description="`*` for the first creation: only if there is no such alias.")]


@router.get(_PATH, response_model=AliasOut, responses={**TAGGED, **problems(404, 422)}, summary="An alias")
def get_alias(ticker: TickerPath, alias: AliasPath, services: TheServices, request: Request) -> Response:
    """Show where the alias points; the ETag is what a change needs."""
    with services.database.read() as tx:
        document = alias_document(tx, ticker, alias, request)
    return ready(document).respond(request)


@router.put(
    _PATH,
    response_model=AliasOut,
    responses={**_CHANGED, **body_problems(404, 409, 412, 428)},
    summary="Point an alias to a version",
)
def put_alias(
    ticker: TickerPath,
    alias: AliasPath,
    body: AliasIn,
    services: TheServices,
    hot: TheHotAnswers,
    request: Request,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Point the alias to a version: `If-Match` for a change, `If-None-Match: *` for the first creation."""
    with services.database.read() as tx:
        _refuse_others_change(_present(tx, ticker, alias, request), if_match, if_none_match)
        version = versions.get(tx, ticker, body.version)
    _refuse_unfit(version, alias, services=services)
    with audited(request, services, audit.ALIAS_POINTED, _subject(ticker, alias)) as (tx, facts):
        tickers.lock(tx, ticker)
        _refuse_others_change(_present(tx, ticker, alias, request), if_match, if_none_match)
        versions.note_damage(tx, ticker, body.version, at=None)
        change = aliases.point(
            tx, ticker, alias, body.version, by=caller_of(request).name, reason=body.reason, now=services.clock()
        )
        facts |= _facts(change)
        changed, edition = ready(alias_document(tx, ticker, alias, request)), editions.current(tx)
    hot.saw(edition)
    return _show(changed)


@router.delete(
    _PATH,
    status_code=204,
    responses={204: {"description": "The alias is gone."}, **problems(404, 412, 422, 428)},
    summary="Take an alias away",
)
def delete_alias(
    ticker: TickerPath,
    alias: AliasPath,
    services: TheServices,
    hot: TheHotAnswers,
    request: Request,
    if_match: IfMatch = None,
) -> Response:
    """Take the alias away; without a champion the baseline answers."""
    with audited(request, services, audit.ALIAS_REMOVED, _subject(ticker, alias)) as (tx, facts):
        tickers.lock(tx, ticker)
        present = ready(alias_document(tx, ticker, alias, request))
        _refuse_others_change(present, if_match, None)
        facts |= _facts(aliases.remove(tx, ticker, alias, by=caller_of(request).name, reason="", now=services.clock()))
        edition = editions.current(tx)
    hot.saw(edition)
    return Response(status_code=204)


@router.get(
    _PATH + "/history",
    response_model=AliasHistoryOut,
    responses=problems(404, 422),
    summary="Every change of an alias",
)
def history(
    ticker: TickerPath,
    alias: AliasPath,
    services: TheServices,
    as_of: Annotated[Time | None, Query(description="Only what was changed by then (RFC 3339).")] = None,
) -> dict[str, Any]:
    """List the changes, newest first; the first one says where the alias pointed at `as_of`."""
    with services.database.read() as tx:
        changes = aliases.history(tx, ticker, alias, as_of=as_of)
        if not changes and not aliases.history(tx, ticker, alias):
            raise _no_such(ticker, alias)
    return {"items": [change_document(change) for change in changes]}


@router.post(
    _PATH + "/rollback",
    response_model=AliasOut,
    responses={**_CHANGED, **problems(404, 409, 422)},
    summary="Back to the version before",
)
def rollback(
    ticker: TickerPath,
    alias: AliasPath,
    services: TheServices,
    hot: TheHotAnswers,
    request: Request,
) -> Response:
    """Point the alias to the last version before the present one that still exists and whose files are in order."""
    with services.database.read() as tx:
        present = aliases.current(tx, ticker, alias)
        if present is None:
            raise _no_such(ticker, alias)
        earlier = aliases.earlier(tx, ticker, alias)
    before = _first_fit(earlier, ticker, alias, services=services)
    with audited(request, services, audit.ALIAS_ROLLED_BACK, _subject(ticker, alias)) as (tx, facts):
        tickers.lock(tx, ticker)
        if aliases.current(tx, ticker, alias) != present:
            raise Conflict("Somebody else pointed the alias meanwhile.", ticker=ticker, alias=alias)
        versions.note_damage(tx, ticker, before, at=None)
        change = aliases.point(
            tx, ticker, alias, before, by=caller_of(request).name, reason=aliases.ROLLBACK, now=services.clock()
        )
        facts |= _facts(change)
        changed, edition = ready(alias_document(tx, ticker, alias, request)), editions.current(tx)
    hot.saw(edition)
    return _show(changed)


def _present(tx: Connection, ticker: str, alias: str, request: Request) -> Ready | None:
    try:
        return ready(alias_document(tx, ticker, alias, request))
    except NoSuchAlias:
        return None


def _refuse_others_change(present: Ready | None, if_match: str | None, if_none_match: str | None) -> None:
    """Check the precondition against what is there.

    Raises:
        PreconditionMissing: none was sent; ``GET`` the alias first.
        PreconditionFailed: somebody else was first; ``GET`` the alias and decide again.
    """
    if if_match is None and if_none_match is None:
        detail = "Send If-Match with the alias's ETag, or If-None-Match: * when there is no such alias yet."
        raise PreconditionMissing(detail)
    if if_none_match is not None and (present is not None or if_none_match.strip() != "*"):
        raise PreconditionFailed("The alias exists; send If-Match with its ETag.")
    if if_match is not None and (present is None or not _names(if_match, present.etag)):
        raise PreconditionFailed("The alias is not what this ETag stands for; somebody else was first.")


def _names(if_match: str, etag: str) -> bool:
    """Compare strongly, as ``If-Match`` wants it."""
    return if_match.strip() == "*" or etag in {tag.strip() for tag in if_match.split(",")}


def _first_fit(earlier: Sequence[int], ticker: str, alias: str, *, services: Services) -> int:
    detail = f"There is no version before the present {alias} of {ticker}."
    refusal: AppError = Conflict(detail, ticker=ticker, alias=alias)
    for number in earlier:
        try:
            with services.database.read() as tx:
                version = versions.get(tx, ticker, number)
            _refuse_unfit(version, alias, services=services)
        except (CorruptArtifact, CorruptRecord) as error:
            refusal = error
        else:
            return number
    raise refusal


def _refuse_unfit(version: ModelVersion, alias: str, *, services: Services) -> None:
    """Only a forecaster of the next close may be champion, and only undamaged files may be served at all.

    The store is read, so no transaction is open: others write while it answers slowly or not at all.
    """
    if alias == CHAMPION and not NetworkSpec.from_dict(version.order["spec"]).forecasts_next_close:
        field = version.order["spec"]["target"]["field"]
        detail = f"Version {version.number} of {version.ticker} forecasts {field!r}; a champion forecasts the close."
        raise NotPromotable(detail, ticker=version.ticker, version=version.number, field=field)
    load_predictor(version, services.artifacts)  # what lies there now, not what is in memory


def _subject(ticker: str, alias: str) -> str:
    return f"{ticker} {alias}"


def _facts(change: AliasChange) -> dict[str, Any]:
    return {"version": change.version, "previous": change.previous, "reason": change.reason}


def _show(changed: Ready) -> Response:
    return Response(changed.body, headers={"etag": changed.etag, "vary": "Accept"}, media_type=changed.media_type)


def _no_such(ticker: str, alias: str) -> NoSuchAlias:
    return NoSuchAlias(f"No version of {ticker} carries the alias {alias!r}.", ticker=ticker, alias=alias)
