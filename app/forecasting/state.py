"""How far a stored forecast may be believed right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.forecast import Forecast
from app.sessions.calendars import Exchange, next_sessions, sessions_closed_since

PRECEDENCE = ("degraded", "stale", "baseline")


@dataclass(frozen=True, kw_only=True)
class State:
    """``name`` is the first that holds of ``degraded``, ``stale``, ``baseline``, else ``fresh``.

    ``reasons`` lists all that hold, then the source's error code when it is down. ``until`` is when
    time alone may change the state.
    """

    name: str
    reasons: tuple[str, ...]
    until: datetime


def state_of(forecast: Forecast, *, source: Mapping[str, Any] | None, now: datetime) -> State:
    """Judge ``forecast`` at ``now``; ``source`` is what the registry knows of its ticker's source."""
    exchange = exchange_behind(forecast)
    down = source is not None and source["source_ok"] is False
    holds = {
        "degraded": down,
        "stale": sessions_closed_since(exchange, forecast.as_of_session, now=now) > 0,
        "baseline": forecast.version is None,
    }
    names = tuple(name for name in PRECEDENCE if holds[name])
    causes = (source["source_error"]["code"],) if source and down and source["source_error"] else ()
    return State(name=names[0] if names else "fresh", reasons=names + causes, until=_next_close(exchange, now=now))


def exchange_behind(forecast: Forecast) -> Exchange:
    """Return the exchange that dated ``forecast``."""
    calendar = forecast.calendar
    return Exchange(calendar["exchange"], calendar["approximate"], calendar["timezone"])


def _next_close(exchange: Exchange, *, now: datetime) -> datetime:
    """The first session close after ``now``; the search starts early since exchange dates run ahead of UTC's."""
    sessions, _ = next_sessions(exchange, now.date() - timedelta(days=2), 5)
    return min(session.close_at for session in sessions if session.close_at > now)
