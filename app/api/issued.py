"""Forecasts as they were issued, with what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from app.api.pagination import BY_TIME, listed, page_of, position_of
from app.domain.forecast import Forecast
from app.domain.score import PENDING, Score
from app.errors import NoModelYet
from app.forecasting.document import step_documents, utc
from app.forecasting.services import Services
from app.registry import forecasts, scores, versions

_LIST = "forecasts"
Scores = Mapping[tuple[str, int, str], Score]

_FORETOLD = ("step", "field", "target_session", "point", "prob_up", "intervals")
_SHOWN = ("error", "persistence_error", "crps", "crps_ewma_t", "pinball", "pit", "qlike", "snapshot_id")


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
        before = position_of(_LIST, token, BY_TIME)
    with services.database.read() as tx:
        rows = forecasts.history(tx, ticker, since=since, before=before, limit=size + 1)
        if not rows and versions.newest(tx, ticker) is None:
            raise NoModelYet(f"{ticker} has no version yet; POST /v1/train makes one.", ticker=ticker)
        page, following = page_of(rows, size=size, list_name=_LIST, position=_position)
        came = scores.of_forecasts(tx, [forecast.forecast_id for forecast in page])
    steps = step_documents(page, horizon=None, levels=levels)
    return listed([_item(*one, came) for one in zip(page, steps, strict=True)], following)


def _position(forecast: Forecast) -> tuple[str, str]:
    return forecast.issued_at.isoformat(), forecast.forecast_id


def _item(forecast: Forecast, steps: Sequence[Mapping[str, Any]], came: Scores) -> dict[str, Any]:
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
            {name: step[name] for name in _FORETOLD}
            | _came(came.get((forecast.forecast_id, step["step"], step["field"])), step["intervals"])
            for step in steps
        ],
    }


def _came(score: Score | None, intervals: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What came of a step, as far as it is known."""
    if score is None or score.actual is None or score.error is None:
        state = score.state if score else PENDING
        return {"state": state, "actual": None, "actual_close": None, "scores": None}
    inside = {f"{entry['level']:g}": entry["lower"] <= score.actual <= entry["upper"] for entry in intervals}
    return {
        "state": score.state,
        "actual": score.actual,
        "actual_close": score.actual_close,
        "scores": {
            **{name: getattr(score, name) for name in _SHOWN},
            "absolute_error": abs(score.error),
            "inside": inside,
            "scored_at": utc(score.scored_at) if score.scored_at else None,
        },
    }
