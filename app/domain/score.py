"""What came of one step of a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from app.domain.forecast import Forecast

PENDING, SCORED, MISSING = "pending", "scored", "missing"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One step of a forecast and what came of it.

    ``state`` is ``pending`` until its session has closed, then ``scored``, or ``missing`` when a later session has a
    bar and this one has none. ``leads`` marks the first step of the leading target. ``actual`` is in the prices of the
    day of issue, ``actual_close`` the session's close as it is quoted now. ``error`` is the point less the actual,
    ``persistence_error`` the last value less the actual, both in price units. ``crps`` and ``pinball`` (mean over
    eleven quantiles) are in log returns, ``crps_ewma_t`` is that of the last value with EWMA-t around it, known
    for the leading close. ``inside`` says by level whether the ``raw`` and the ``displayed`` band held.
    ``snapshot_id`` names the bars it was scored from.
    """

    forecast_id: str
    step: int
    field: str
    ticker: str
    version: int | None
    source: str
    origin: str
    leads: bool
    issued_at: datetime
    as_of_session: date
    target_session: date
    last_value: float
    state: str = PENDING
    actual: float | None = None
    actual_close: float | None = None
    error: float | None = None
    persistence_error: float | None = None
    crps: float | None = None
    crps_ewma_t: float | None = None
    pinball: float | None = None
    pit: float | None = None
    qlike: float | None = None
    inside: Mapping[str, Any] | None = None
    snapshot_id: str | None = None
    scored_at: datetime | None = None


def awaiting(forecast: Forecast) -> tuple[Score, ...]:
    """Return the steps of a forecast as they wait for their sessions."""
    lead = forecast.target["field"]
    return tuple(
        Score(
            forecast_id=forecast.forecast_id,
            step=step.step,
            field=step.field,
            ticker=forecast.ticker,
            version=forecast.version,
            source=str(forecast.provenance["source"]),
            origin=forecast.origin,
            leads=step.step == 1 and step.field == lead,
            issued_at=forecast.issued_at,
            as_of_session=forecast.as_of_session,
            target_session=step.target_session,
            last_value=step.last_value,
        )
        for step in forecast.steps
    )
