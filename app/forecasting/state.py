"""How far a stored forecast may be believed right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.forecast import Validity

PRECEDENCE = ("degraded", "stale", "baseline")

#: An instrument silent for longer than this is asked once a day only.
SILENT_SESSIONS = 5

#: An overdue update may arrive at any moment: an answer that waits for one is looked at again this soon.
OVERDUE_LOOK = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class State:
    """``name`` is the first that holds of ``degraded``, ``stale``, ``baseline``, else ``fresh``.

    ``reasons`` lists all that hold, then the source's error code when it is down. ``next_update_at`` is when
    newer bars are looked for, ``until`` when time alone may change any of this.
    """

    name: str
    reasons: tuple[str, ...]
    next_update_at: datetime
    until: datetime


def state_of(forecast: Validity, *, known: Mapping[str, Any] | None, now: datetime) -> State:
    """Judge ``forecast`` at ``now``; ``known`` is what the registry knows of its ticker's source and next update.

    A forecast is stale from the close of its first target session on: no calendar is needed to see that.
    """
    known = known or {}
    holds = {
        "degraded": known.get("source_ok") is False,
        "stale": now >= forecast.first_close_at,
        "baseline": forecast.version is None,
    }
    names = tuple(name for name in PRECEDENCE if holds[name])
    error = known.get("source_error") if holds["degraded"] else None
    update = max(forecast.next_update_at, known.get("next_update_at") or forecast.next_update_at)
    return State(
        name=names[0] if names else "fresh",
        reasons=(*names, error["code"]) if error else names,
        next_update_at=update,
        until=min((moment for moment in (forecast.first_close_at, update) if moment > now), default=now + OVERDUE_LOOK),
    )
