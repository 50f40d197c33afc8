"""How often a call is repeated, and after how long: decisions that neither send nor sleep."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LATER = frozenset({429, 502, 503, 504})  # those who answer so may answer otherwise in a moment
LONGEST_PAUSE = 60.0
_FIRST_PAUSE = 0.25
LONGEST_BACKOFF = 8.0


class Attempts:
    """The attempts at one call: ``most`` of them.

    Without a ``Retry-After`` pauses double, each shortened at random by up to a half, so that many clients do not come
    back in step. Who is told to wait for more than a minute is told so by an error.
    """

    def __init__(self, *, most: int, repeatable: bool) -> None:
        self._left = most - 1
        self._repeatable = repeatable
        self._backoff = _FIRST_PAUSE

    def pause_after_answer(self, status: int, headers: Mapping[str, str], *, now: datetime) -> float | None:
        """Return the seconds to wait before the next attempt; ``None``: the answer stands."""
        if status not in LATER or not self._repeatable:
            return None
        told = told_to_wait(headers, now=now)
        if told is not None and told > LONGEST_PAUSE:
            return None
        return self._pause(told)

    def pause_after_loss(self, *, sent: bool) -> float | None:
        """Return the seconds to wait after no answer came; ``None``: it is given up. What never left did nothing."""
        return None if sent and not self._repeatable else self._pause(None)

    def _pause(self, told: float | None) -> float | None:
        if self._left <= 0:
            return None
        self._left -= 1
        pause = self._backoff * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, keeps no secret
        self._backoff = min(2 * self._backoff, LONGEST_BACKOFF)
        return pause if told is None else told


def told_to_wait(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, as a number or as a date; ``None`` without one."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())
