"""Documents as data frames; pandas is imported when the first one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from app.api.schemas.forecasts import ForecastOut, IntervalOut, IssuedOut
from app.api.schemas.market import BarOut

if TYPE_CHECKING:
    import pandas as pd

_DAYS = ["session", "target_session", "as_of_session", "trained_through"]
_MOMENTS = ["issued_at", "target_close_at", "next_update_at"]


def of_forecasts(forecasts: Iterable[ForecastOut]) -> pd.DataFrame:
    """Return one row a step: ``lower_80`` and ``upper_80`` are the ends of an interval, ``q0.1`` is a quantile."""
    return _frame([_step_row(forecast, step) for forecast in forecasts for step in forecast.steps])


def of_history(issued: Iterable[IssuedOut]) -> pd.DataFrame:
    """Return one row a step of each forecast issued, with what came of it; scores are columns, where there are some."""
    return _frame([_issued_row(one, step) for one in issued for step in one.steps])


def of_contestants(contestants: Mapping[str, Mapping[str, float | None]]) -> pd.DataFrame:
    """Return one row a contestant, one column a metric."""
    frame = _frame([{"contestant": name, **metrics} for name, metrics in contestants.items()])
    return frame.set_index("contestant")


def of_columns(document: BaseModel, *, index: str) -> pd.DataFrame:
    """Return the columns of a document that has them as lists of one length; an empty list was never measured."""
    lists = {name: values for name, values in document if isinstance(values, list)}
    rows = len(lists[index])
    columns = {name: values for name, values in lists.items() if len(values) == rows}
    columns.pop("members", None)
    return _frame(columns).set_index(index)


def of_table(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return columns of one length as they are."""
    return _frame(columns)


def of_bars(bars: Sequence[BarOut]) -> pd.DataFrame:
    """Return one row a session."""
    rows = [{**bar.model_dump(exclude={"extra"}), **bar.extra} for bar in bars]
    return _frame(rows or {name: [] for name in BarOut.model_fields}).set_index("session")


def _step_row(forecast: ForecastOut, step: Any) -> dict[str, Any]:
    known = {"ticker": forecast.ticker, "state": forecast.state, "as_of_session": forecast.as_of_session}
    quantiles = {f"q{probability}": price for probability, price in step.quantiles.items()}
    whole = step.model_dump(exclude={"quantiles", "intervals"})
    return {**known, **whole, **_ends(step.intervals), **quantiles}


def _issued_row(issued: IssuedOut, step: Any) -> dict[str, Any]:
    names = ("forecast_id", "issued_at", "as_of_session", "origin", "last_close")
    known = {name: getattr(issued, name) for name in names} | {"version": issued.model.get("version")}
    whole = step.model_dump(exclude={"intervals", "scores"})
    plain = {name: value for name, value in (step.scores or {}).items() if not isinstance(value, dict | list)}
    return {**known, **whole, **_ends(step.intervals), **plain}


def _ends(intervals: Iterable[IntervalOut]) -> dict[str, float]:
    ends = ((f"{interval.level:g}", interval) for interval in intervals)
    return {f"{side}_{level}": getattr(interval, side) for level, interval in ends for side in ("lower", "upper")}


def _frame(data: Any) -> pd.DataFrame:
    """Return a frame whose dates and times, these in UTC, are pandas' own."""
    # Costs half a second, and most programs that ask for a forecast want no frame.
    import pandas as pd

    frame = pd.DataFrame(data)
    for name in frame.columns.intersection(_DAYS):
        frame[name] = pd.to_datetime(frame[name])
    for name in frame.columns.intersection(_MOMENTS):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame
