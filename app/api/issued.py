"""Forecasts as they were issued, with what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from sqlalchemy import Connection

from app.api.pagination import listed, page_of, position_of
from app.api.schemas.common import Time
from app.domain.forecast import Forecast, Step
from app.domain.history import BAR_FIELDS, Bars, to_date
from app.errors import NoModelYet
from app.forecasting.answer import bounds_of, intervals_of, prices_at, utc
from app.forecasting.services import Services
from app.registry import forecasts, snapshots, versions

_LIST = "forecasts"
_POSITION = TypeAdapter(tuple[Time, str])
Values = dict[tuple[str, date], float]


def issued_page(
    ticker: str,
    *,
    since: date | None,
    levels: Sequence[float],
    size: int,
    token: str | None,
    services: Services,
) -> dict[str, Any]:
    """Return one page of what was issued for ``ticker``, newest first, scored where the session has closed.

    Raises:
        NoModelYet: nothing was ever issued for the ticker, and it has no version.
        InvalidPageToken: the token is not one of this list.
    """
    before = None
    if token is not None:
        before = position_of(_LIST, token, _POSITION)
    with services.database.read() as tx:
        rows = forecasts.history(tx, ticker, since=since, before=before, limit=size + 1)
        if not rows and versions.newest(tx, ticker) is None:
            raise NoModelYet(f"{ticker} has no version yet; POST /v1/train makes one.", ticker=ticker)
        page, following = page_of(rows, size=size, list_name=_LIST, position=_position)
        known = {source: _bars(tx, ticker, source, services) for source in {_source(f) for f in page}}
    return listed([_item(forecast, known[_source(forecast)], levels) for forecast in page], following)


def _position(forecast: Forecast) -> tuple[str, str]:
    return forecast.issued_at.isoformat(), forecast.forecast_id


def _source(forecast: Forecast) -> str:
    return str(forecast.provenance["source"])


def _bars(tx: Connection, ticker: str, source: str, services: Services) -> Bars | None:
    """Return the newest bars kept from ``source``."""
    row = snapshots.latest(tx, ticker, source)
    return services.snapshots.load(row["snapshot_id"]).bars if row else None


def _item(forecast: Forecast, bars: Bars | None, levels: Sequence[float]) -> dict[str, Any]:
    actuals = _actuals(forecast, bars) if bars is not None else {}
    points = {0.5, *chain(*bounds_of(levels).values())}
    rows = zip(forecast.steps, prices_at(forecast, points), forecast.predictive.prob_up[0].tolist(), strict=True)
    return {
        "forecast_id": forecast.forecast_id,
        "edition": forecast.edition or None,
        "issued_at": utc(forecast.issued_at),
        "as_of_session": forecast.as_of_session.isoformat(),
        "origin": forecast.origin,
        "last_close": forecast.last_close,
        "target": dict(forecast.target),
        "targets": [dict(target) for target in forecast.targets],
        "model": {"version": forecast.version, "architecture": forecast.architecture, "preset": forecast.preset},
        "steps": [
            _step(step, prices[0.5], prob_up, intervals_of(prices, levels), actuals) for step, prices, prob_up in rows
        ],
    }


def _actuals(forecast: Forecast, bars: Bars) -> Values:
    """Return what each field became, by session, in the prices of the day of issue.

    A split since then has changed older prices: the values of each field are scaled so that ``as_of_session`` agrees.
    """
    came: Values = {}
    as_of = bars.sessions == np.datetime64(forecast.as_of_session)
    wanted = np.isin(bars.sessions, np.array([s.target_session for s in forecast.steps], dtype="datetime64[D]"))
    for field, last_value in {step.field: step.last_value for step in forecast.steps}.items():
        if field not in BAR_FIELDS and field not in bars.extra:
            continue
        values = bars.column(field)
        then = values[as_of]
        if then.size != 1 or not np.isfinite(then[0]):
            continue
        scale = 1.0 if then[0] == last_value else last_value / then[0]
        known = wanted & np.isfinite(values)
        for session, value in zip(bars.sessions[known], values[known], strict=True):
            came[field, to_date(session)] = float(value * scale)
    return came


def _step(
    step: Step, point: float, prob_up: float, intervals: Sequence[Mapping[str, float]], actuals: Values
) -> dict[str, Any]:
    actual = actuals.get((step.field, step.target_session))
    return {
        "step": step.step,
        "field": step.field,
        "target_session": step.target_session.isoformat(),
        "point": point,
        "prob_up": prob_up,
        "intervals": intervals,
        "actual": actual,
        "scores": None if actual is None else _scores(point, actual, intervals),
    }


def _scores(point: float, actual: float, intervals: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    inside = {f"{entry['level']:g}": entry["lower"] <= actual <= entry["upper"] for entry in intervals}
    return {"error": point - actual, "absolute_error": abs(point - actual), "inside": inside}
