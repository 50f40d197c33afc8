"""Which stored forecast answers, for one ticker or many, read at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from app.domain.version import CHAMPION
from app.errors import AppError, CorruptRecord, NoModelYet, NoSuchAlias, NoSuchVersion
from app.forecasting.document import Told, require_horizon, to_documents
from app.forecasting.state import state_of
from app.registry.readable import readable
from app.registry.served import Served, read_forecast, served


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A document, and until when nothing but a new edition can change it."""

    document: dict[str, Any]
    expires_at: datetime


def answer(found: Served, *, model: str, horizon: int | None, levels: Sequence[float], now: datetime) -> Answer:
    """Answer with the latest stored forecast, ``found`` for ``model`` (an alias or a version number).

    ``horizon`` ``None`` means as far as it looks.

    Raises:
        NoModelYet: the ticker has no version; train one.
        NoSuchAlias, NoSuchVersion: ``model`` names nothing.
        HorizonTooLong: the version looks ``have`` sessions ahead, ``need`` were asked for.
        CorruptRecord: somebody mangled the forecast; ``chain.verify`` names it.
    """
    (said,) = answers([found], model=model, horizon=horizon, levels=levels, now=now)
    if isinstance(said, AppError):
        raise said
    return said


def answers(
    found: Sequence[Served], *, model: str, horizon: int | None, levels: Sequence[float], now: datetime
) -> list[Answer | AppError]:
    """Return for each ticker of ``found``, in their order, what ``answer`` returns or raises."""
    told = [_told_or_not(one, model, horizon=horizon, now=now) for one in found]
    written = iter(_written([one for one in told if isinstance(one, Told)], horizon=horizon, levels=levels))
    return [next(written) if isinstance(one, Told) else one for one in told]


def chosen(tx: Connection, ticker: str, model: str) -> Served:
    """Find what ``model`` names; without a champion the baseline stands in.

    Raises:
        NoModelYet, NoSuchAlias, NoSuchVersion: see ``answer``.
    """
    (found,) = served(tx, [ticker], model)
    _require_named(found, model)
    return found


def tell(found: Served, *, now: datetime) -> Told:
    """Return the newest forecast of ``found`` as it stands at ``now``.

    Raises:
        NoModelYet: there is none.
        CorruptRecord: see ``answer``.
    """
    forecast = read_forecast(found)
    if forecast is None:
        raise NoModelYet(f"{found.ticker} has no forecast yet.", ticker=found.ticker)
    with readable("A forecast", ticker=found.ticker):
        state = state_of(forecast.validity, known=found.known, now=now)
    return Told(forecast=forecast, state=state, alias=found.alias)


def _told_or_not(found: Served, model: str, *, horizon: int | None, now: datetime) -> Told | AppError:
    try:
        _require_named(found, model)
        told = tell(found, now=now)
        with readable("A forecast", ticker=found.ticker):
            require_horizon(told.forecast, horizon)
    except AppError as error:
        return error
    return told


def _written(told: Sequence[Told], *, horizon: int | None, levels: Sequence[float]) -> list[Answer | AppError]:
    """Write out all of ``told`` at once, or, where one of them is mangled, each alone."""
    try:
        with readable("A forecast", tickers=len(told)):
            documents = to_documents(told, horizon=horizon, levels=levels)
    except CorruptRecord:
        return [_written_or_not(one, horizon=horizon, levels=levels) for one in told]
    return [Answer(document=said, expires_at=one.state.until) for one, said in zip(told, documents, strict=True)]


def _written_or_not(told: Told, *, horizon: int | None, levels: Sequence[float]) -> Answer | AppError:
    try:
        with readable("A forecast", ticker=told.forecast.ticker):
            (document,) = to_documents([told], horizon=horizon, levels=levels)
    except CorruptRecord as error:
        return error
    return Answer(document=document, expires_at=told.state.until)


def _require_named(found: Served, model: str) -> None:
    """Refuse a ``model`` that names nothing.

    Raises:
        NoModelYet, NoSuchAlias, NoSuchVersion: see ``answer``.
    """
    ticker = found.ticker
    if not found.is_trained:
        raise NoModelYet(f"{ticker} has no version yet; POST /v1/train makes one.", ticker=ticker)
    if found.version is None and model.isdigit():
        raise NoSuchVersion(f"{ticker} has no version {model}.", ticker=ticker, version=int(model))
    if found.version is None and model != CHAMPION:
        raise NoSuchAlias(f"No version of {ticker} carries the alias {model!r}.", ticker=ticker, alias=model)
