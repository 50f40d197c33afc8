"""Versions, what proves them, and the aliases that point to them."""

from __future__ import annotations

from datetime import datetime

from app.api.schemas.models import (
    AliasChangeOut,
    AliasHistoryOut,
    AliasOut,
    ModelRowOut,
    ModelsOut,
    VersionOut,
    VersionRowOut,
    VersionsOut,
)
from app.client.call import JSON, Answer, Call, Flow, Listing, get, json_bytes, listing, reading, segment, taking
from app.client.documents import Curves, Fitted, PredictedPath, Predictions, Scorecard
from app.client.errors import NotFound

CHAMPION = "champion"


def models(*, page_size: int | None = None) -> Listing[ModelRowOut]:
    """Iterate over the tickers that have a version; pages are fetched as they are needed.

    Raises:
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return listing("/v1/models", ModelsOut, page_size=page_size)


def versions(ticker: str, *, page_size: int | None = None) -> Listing[VersionRowOut]:
    """Iterate over the versions of ``ticker``, the newest first; pages are fetched as they are needed.

    Raises:
        NotFound: the ticker has no version; train one.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return listing(f"/v1/models/{segment(ticker)}", VersionsOut, page_size=page_size)


def version(ticker: str, version: int) -> Call[VersionOut]:
    """Return everything about a version: spec, data, metrics, files, libraries and time spent.

    Raises:
        NotFound: there is no such version.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return get(_at(ticker, version), VersionOut)


def scorecard(ticker: str, version: int) -> Call[Scorecard]:
    """Return the proof of skill: each contestant x each metric out of sample. Raises as ``version``."""
    return get(f"{_at(ticker, version)}/scorecard", Scorecard)


def predictions(ticker: str, version: int) -> Call[Predictions]:
    """Return true and predicted of the sessions that the network had not seen, as columns. Raises as ``version``."""
    return get(f"{_at(ticker, version)}/predictions", Predictions)


def fitted(ticker: str, version: int) -> Call[Fitted]:
    """Return true and predicted of the sessions that the network learnt from, as columns. Raises as ``version``."""
    return get(f"{_at(ticker, version)}/predictions", Fitted, part="train")


def path(ticker: str, version: int) -> Call[PredictedPath]:
    """Return all steps of the first forecast out of sample beside what came. Raises as ``version``."""
    return get(f"{_at(ticker, version)}/predictions", PredictedPath, part="path")


def curves(ticker: str, version: int) -> Call[Curves]:
    """Return loss and validation loss of each epoch, as columns. Raises as ``version``."""
    return get(f"{_at(ticker, version)}/curves", Curves)


def artifact(ticker: str, version: int, name: str) -> Call[bytes]:
    """Return a file of a version, such as ``model.onnx``.

    Raises:
        NotFound: there is no such version or file; the version's ``artifacts`` list them.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    where = f"{_at(ticker, version)}/artifacts/{segment(name)}"
    return Call(method="GET", path=where, read=lambda answer: answer.body, repeatable=True)


def delete(ticker: str, *, version: int | None = None) -> Call[None]:
    """Delete a version with its files; without one, all of ``ticker``.

    Raises:
        Conflict: an alias points to it, or a job needs it.
        NotFound: there is no such version; also when it was deleted by a first attempt whose answer was lost.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    where = f"/v1/models/{segment(ticker)}" if version is None else _at(ticker, version)
    return Call(method="DELETE", path=where, read=_nothing, repeatable=True)


def alias(ticker: str, alias: str = CHAMPION) -> Call[AliasOut]:
    """Return where an alias points and since when.

    Raises:
        NotFound: the ticker has no such alias.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return get(_alias_at(ticker, alias), AliasOut)


def alias_history(ticker: str, alias: str = CHAMPION, *, as_of: datetime | None = None) -> Call[list[AliasChangeOut]]:
    """Return all changes of an alias, or those made by ``as_of`` (with its time zone), the newest first.

    Raises:
        NotFound: the ticker never had such an alias.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return taking(get(f"{_alias_at(ticker, alias)}/history", AliasHistoryOut, as_of=as_of), lambda page: page.items)


def promote(ticker: str, version: int, *, reason: str = "", alias: str = CHAMPION) -> Flow[AliasOut]:
    """Point an alias to a version, as a change of what it pointed to a moment ago.

    Raises:
        Conflict: somebody else changed it meanwhile; look and decide again. Or the version may not be champion.
        NotFound: there is no such version.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    condition = yield from _condition(ticker, alias)
    changed: AliasOut = yield Call(
        method="PUT",
        path=_alias_at(ticker, alias),
        read=reading(AliasOut),
        headers={"content-type": JSON, **condition},
        content=json_bytes({"version": version, "reason": reason}),
        repeatable=True,
    )
    return changed


def remove_alias(ticker: str, alias: str = CHAMPION) -> Flow[None]:
    """Take an alias away; without a champion the baseline answers.

    Raises:
        NotFound: the ticker has no such alias.
        Conflict: somebody else changed it meanwhile; look and decide again.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    tag = yield _tag_call(ticker, alias)
    headers = {"if-match": tag}
    yield Call(method="DELETE", path=_alias_at(ticker, alias), read=_nothing, headers=headers, repeatable=True)


def rollback(ticker: str, alias: str = CHAMPION) -> Call[AliasOut]:
    """Point an alias to the version before the present one; never repeated, since that would go back twice.

    Raises:
        Conflict: there is no version before.
        NotFound: the ticker has no such alias.
        Unavailable, Unreachable: nobody answered; look where the alias points before you try again.
    """
    where = f"{_alias_at(ticker, alias)}/rollback"
    return Call(method="POST", path=where, read=reading(AliasOut), repeatable=False)


def _at(ticker: str, version: int) -> str:
    return f"/v1/models/{segment(ticker)}/versions/{version:d}"


def _alias_at(ticker: str, alias: str) -> str:
    return f"/v1/models/{segment(ticker)}/aliases/{segment(alias)}"


def _condition(ticker: str, alias: str) -> Flow[dict[str, str]]:
    """Return the header under which a change is one of the present state."""
    try:
        tag = yield _tag_call(ticker, alias)
    except NotFound as error:
        if error.code != "no_such_alias":
            raise
        return {"if-none-match": "*"}
    return {"if-match": tag}


def _tag_call(ticker: str, alias: str) -> Call[str]:
    return Call(method="GET", path=_alias_at(ticker, alias), read=_tag, repeatable=True)


def _tag(answer: Answer) -> str:
    return answer.headers["etag"]


def _nothing(_: Answer) -> None:
    """Read an answer that says nothing."""
