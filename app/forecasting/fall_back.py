"""What stands in for a champion whose files are damaged: the last champion before it whose files are in order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from app.artifacts.bundle import load_bundle
from app.domain.version import CHAMPION, ModelVersion
from app.errors import CorruptArtifact, CorruptRecord, NoSuchVersion, StoreUnavailable
from app.forecasting.services import Services
from app.registry import aliases, forecasts, versions


@dataclass(frozen=True, kw_only=True)
class Before:
    """The champions before a damaged one, the last first, by number.

    ``as_of_session`` is that of the last forecast of the damaged one, ``None`` without any; ``since`` is when the alias
    was pointed to it.
    """

    numbers: tuple[int, ...]
    as_of_session: date | None
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Files:
    """What became known of a ticker's versions, by number: whose files are ``damaged``, whose are ``mended``.

    ``stand_in`` is what can answer in place of a champion that is among the damaged, and was pointed to at ``since``.
    """

    damaged: tuple[int, ...] = ()
    mended: tuple[int, ...] = ()
    stand_in: int | None = None
    since: datetime | None = None


def is_damaged(version: ModelVersion, *, services: Services) -> bool:
    """Whether a file of the version is gone or not what was registered; a store that does not answer is no damage."""
    with suppress(StoreUnavailable):
        try:
            load_bundle(services.artifacts, version.location, version.artifacts)
        except CorruptArtifact:
            return True
    return False


def champions_before(ticker: str, damaged: Sequence[int], *, services: Services) -> Before | None:
    """Return what was champion before the present one; ``None`` while that is not among the ``damaged``.

    Raises:
        StoreUnavailable: the database refuses; try again later.
        CorruptRecord: the champion's last forecast is mangled; ``chain.verify`` names it.
    """
    with services.database.read() as tx:
        champion = aliases.current(tx, ticker, CHAMPION)
        if champion not in damaged:
            return None
        last = forecasts.latest(tx, ticker, champion)
        return Before(
            numbers=tuple(aliases.earlier(tx, ticker, CHAMPION)),
            as_of_session=last.as_of_session if last else None,
            since=aliases.history(tx, ticker, CHAMPION)[0].changed_at,
        )


def note_files(tx: Connection, ticker: str, files: Files, *, now: datetime) -> bool:
    """Mark what is damaged, and have the stand-in answer in place of the champion that is; whether it does now.

    Nothing of that when the alias was pointed anywhere meanwhile, which verifies files. The caller holds the ticker.
    """
    for number in files.mended:
        versions.note_damage(tx, ticker, number, at=None)
    if files.since and aliases.history(tx, ticker, CHAMPION)[0].changed_at != files.since:
        return False
    for number in files.damaged:
        versions.note_damage(tx, ticker, number, at=now)
    if files.stand_in is None:
        return False
    reason = f"the files of version {aliases.current(tx, ticker, CHAMPION)} are damaged"
    try:
        aliases.point(tx, ticker, CHAMPION, files.stand_in, by="refresh", reason=reason, now=now)
    except (NoSuchVersion, CorruptRecord):  # deleted or mangled meanwhile; the next refresh finds another
        return False
    return True
