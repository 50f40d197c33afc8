"""Forecasts as they were issued, with what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import exp
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from sqlalchemy import Connection

from app.api.pagination import listed, page_of, position_of
from app.api.schemas.common import Time
from app.domain.forecast import Forecast
from app.domain.history import Bars, to_date
from app.errors import NoModelYet
from app.forecasting.answer import utc
from app.forecasting.services import Services
from app.registry import forecasts, snapshots, versions

_LIST = "forecasts"
_POSITION = TypeAdapter(tuple[Time, str])
Values = Mapping[date, float]


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
    return {
        "forecast_id": forecast.forecast_id,
        "edition": forecast.edition or None,
        "issued_at": utc(forecast.issued_at),
        "as_of_session": forecast.as_of_session.isoformat(),
        "origin": forecast.origin,
        "last_close": forecast.last_close,
        "target": dict(forecast.target),
        "model": {"version": forecast.version, "architecture": forecast.architecture, "preset": forecast.preset},
        "steps": [_step(forecast, index, actuals, levels) for index in range(len(forecast.steps))],
    }


def _actuals(forecast: Forecast, bars: Bars) -> Values:
    """Return what the target field became, by session, in the prices of the day of issue.

    A split since then has changed older prices: the values are scaled so that ``as_of_session`` agrees.
    """
    values = bars.column(forecast.target["field"])
    targets = np.array([step.target_session for step in forecast.steps], dtype="datetime64[D]")
    then = values[bars.sessions == np.datetime64(forecast.as_of_session)]
    if then.size != 1 or not np.isfinite(then[0]):
        return {}
    scale = 1.0 if then[0] == forecast.last_value else forecast.last_value / then[0]
    wanted = np.isin(bars.sessions, targets) & np.isfinite(values)
    days = zip(bars.sessions[wanted], values[wanted], strict=True)
    return {to_date(session): float(value * scale) for session, value in days}


def _step(forecast: Forecast, index: int, actuals: Values, levels: Sequence[float]) -> dict[str, Any]:
    step, predictive = forecast.steps[index], forecast.predictive

    def price(p: float) -> float:
        return forecast.last_value * exp(float(predictive.quantile(p)[0, index]))

    intervals = [
        {"level": level, "lower": price(0.5 - level / 200), "upper": price(0.5 + level / 200)} for level in levels
    ]
    point, actual = price(0.5), actuals.get(step.target_session)
    return {
        "step": step.step,
        "target_session": step.target_session.isoformat(),
        "point": point,
        "prob_up": float(predictive.prob_up[0, index]),
        "intervals": intervals,
        "actual": actual,
        "scores": None if actual is None else _scores(point, actual, intervals),
    }


def _scores(point: float, actual: float, intervals: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    inside = {f"{entry['level']:g}": entry["lower"] <= actual <= entry["upper"] for entry in intervals}
    return {"error": point - actual, "absolute_error": abs(point - actual), "inside": inside}
