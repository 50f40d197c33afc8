"""One chart of a ticker's close, in columns: its bars, what was forecast of them, and what is ahead."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app.api.columns import Columns, band_names, to_columns
from app.api.documents import ready
from app.api.hot_answers import Made
from app.domain.forecast import Forecast
from app.domain.history import PriceHistory, to_date
from app.domain.score import SCORED
from app.domain.version import CHAMPION, AliasChange
from app.errors import NoBarsYet
from app.forecasting.actuals import Splits, basis_of
from app.forecasting.answer import chosen, tell
from app.forecasting.document import band_prices, require_horizon, utc
from app.forecasting.services import Services
from app.registry import aliases, editions, first_steps, snapshots
from app.registry.first_steps import Expected, Said
from app.registry.readable import readable

SESSIONS = 250
FIELD = "close"

# An upload or a training that fails brings other bars and no edition: this soon they are looked at again.
_LOOK = timedelta(minutes=1)
_ISSUED = ("target_session", "as_of_session", "issued_at", "origin", "version", "architecture", "last_close", "point")
_AHEAD = ("step", "target_session", "target_close_at", "point")


def make_series(
    ticker: str, *, model: str, since: date | None, levels: Sequence[float], horizon: int | None, services: Services
) -> Made:
    """Return the chart of ``ticker`` from the session ``since`` on (``None``: the last 250), of ``model``'s forecasts.

    Every price is on the scale on which the newest bars are quoted: splits since the day of issue are undone as they
    are where forecasts are scored, dividends are not: a dividend that was paid since leaves its gap, as in the bars.
    ``actual`` is the quoted close. Bars are the newest kept ones of the source by which was forecast; none is asked.

    Raises:
        NoModelYet, NoSuchAlias, NoSuchVersion: ``model`` names nothing.
        HorizonTooLong: the version looks ``have`` sessions ahead, ``need`` were asked for.
        NoBarsYet: no bars of that source are kept here.
        CorruptArtifact, CorruptRecord: the bars or a forecast are damaged.
    """
    now = services.clock()
    with services.database.read() as tx:
        edition = editions.current(tx)
        told = tell(chosen(tx, ticker, model), now=now)
        require_horizon(told.forecast, horizon)
        snapshot_id = _newest_bars(tx, told.forecast)
    # No transaction stays open while a file is read; what is issued meanwhile bears a later edition, and that drops
    # this answer from the memory.
    history = _in_order(services.snapshots.load(snapshot_id))
    shown = history.between(since) if since else history.between(to_date(history.bars.sessions[-SESSIONS:][0]))
    with services.database.read() as tx:
        changes = [] if model.isdigit() else aliases.history(tx, ticker, model)[::-1]
        displayed = _displayed(tx, ticker, model, changes, since=since or shown.first_session)
        said = first_steps.said(tx, [one.forecast_id for one in displayed], levels)
    scale = Scale(history)
    with readable("A forecast", ticker=ticker):
        issued = _issued(displayed, said, scale, levels)
        ahead = _ahead(told.forecast, scale, horizon, levels)
    document = {
        **{"ticker": ticker, "currency": told.forecast.currency, "edition": str(edition), "field": FIELD},
        **{"source": history.source, "next_update_at": utc(told.state.next_update_at)},
        "bars": {"session": _days(shown), "close": shown.bars.close.tolist()},
        "issued": issued,
        "ahead": ahead,
        "changes": _changes(changes, shown),
    }
    return Made(ready=ready(document, expires_at=min(told.state.until, now + _LOOK)), edition=edition)


class Scale:
    """Puts prices of the day of issue on the scale of the bars of ``history``."""

    def __init__(self, history: PriceHistory) -> None:
        self._splits = Splits(history)
        self.closes = dict(zip(_days(history), history.bars.close.tolist(), strict=True))

    def basis(self, last_close: float, as_of: date) -> float:
        """Return what prices of a forecast of that day, which saw ``last_close``, are to be divided by."""
        quoted = self.closes.get(as_of.isoformat())
        is_price = quoted is not None and quoted > 0
        return basis_of(FIELD, last_close, quoted=quoted if is_price else None, splits=self._splits.since(as_of))


def _newest_bars(tx: Connection, forecast: Forecast) -> str:
    """Return the id of the newest kept bars of the source that ``forecast`` is by."""
    row = snapshots.latest(tx, forecast.ticker, str(forecast.provenance["source"]))
    if row is None:
        raise NoBarsYet(
            f"No bars of {forecast.ticker} are kept here yet; a refresh fetches them.", ticker=forecast.ticker
        )
    return str(row["snapshot_id"])


def _in_order(history: PriceHistory) -> PriceHistory:
    """Return ``history``, its bars oldest first."""
    return replace(history, bars=history.bars.rows(np.argsort(history.bars.sessions, kind="stable")))


def _displayed(
    tx: Connection, ticker: str, model: str, changes: Sequence[AliasChange], *, since: date
) -> list[Expected]:
    """Return for each session the last that was issued by who then was ``model``, in the order of sessions."""
    if model.isdigit():
        rows = first_steps.expected(tx, ticker, {int(model)}, since=since)
    else:
        # Before a champion the baseline is displayed, before any other alias nothing is.
        nobody = {None} if model == CHAMPION else set()
        numbers = {change.version for change in changes if change.version is not None} | nobody
        by_then = _carrier(changes)
        rows = first_steps.expected(tx, ticker, numbers, since=since)
        rows = [one for one in rows if one.version == by_then(one.issued_at)]
    return list({one.target_session: one for one in rows}.values())


def _carrier(changes: Sequence[AliasChange]) -> Callable[[datetime], int | None]:
    """Return a function that names the version which carried the alias at a moment."""
    moments = [change.changed_at for change in changes]

    def by_then(at: datetime) -> int | None:
        row = bisect_right(moments, at)
        return changes[row - 1].version if row else None

    return by_then


def _issued(displayed: Sequence[Expected], said: Mapping[str, Said], scale: Scale, levels: Sequence[float]) -> Columns:
    known = [(one, said[one.forecast_id]) for one in displayed if one.forecast_id in said]
    prices = band_prices([(it.step, it.shown) for _, it in known])
    rows = []
    for (one, it), of_step in zip(known, prices, strict=True):
        session = one.target_session.isoformat()
        basis = scale.basis(it.step.last_value, one.as_of_session)
        said_when = (session, one.as_of_session.isoformat(), utc(one.issued_at), one.origin)
        scaled = (price / basis for price in (it.step.last_value, *of_step))
        actual = scale.closes.get(session) if one.state == SCORED else None
        rows.append((*said_when, one.version, it.architecture, *scaled, actual, one.state))
    return to_columns((*_ISSUED, *band_names(levels), "actual", "state"), rows)


def _ahead(forecast: Forecast, scale: Scale, horizon: int | None, levels: Sequence[float]) -> Columns:
    steps = [step for step in forecast.steps if step.field == FIELD and (horizon is None or step.step <= horizon)]
    shown = [[forecast.shown_level(step, level) for level in levels] for step in steps]
    basis = scale.basis(forecast.last_close, forecast.as_of_session)
    rows = [
        (step.step, step.target_session.isoformat(), utc(step.target_close_at), *(price / basis for price in of_step))
        for step, of_step in zip(steps, band_prices(list(zip(steps, shown, strict=True))), strict=True)
    ]
    return to_columns((*_AHEAD, *band_names(levels)), rows)


def _changes(changes: Sequence[AliasChange], shown: PriceHistory) -> list[dict[str, Any]]:
    """Write out ``changes``, each with the last session shown by its day, at which a chart can mark it."""
    days = _days(shown)
    at = np.searchsorted(days, [change.changed_at.date().isoformat() for change in changes], side="right")
    return [
        {
            "at": utc(change.changed_at),
            "session": days[row - 1] if row else None,
            "version": change.version,
            "previous": change.previous,
            "by": change.changed_by,
            "reason": change.reason,
        }
        for change, row in zip(changes, at.tolist(), strict=True)
    ]


def _days(history: PriceHistory) -> list[str]:
    days: list[str] = history.bars.sessions.astype("datetime64[D]").astype(str).tolist()
    return days
