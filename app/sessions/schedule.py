"""One exchange's sessions as plain arrays, read once from ``exchange_calendars``."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

EARLIEST = date(1970, 1, 1)


@dataclass(frozen=True, eq=False)
class Schedule:
    """Sessions from ``first`` to ``last``, days on which the calendar's knowledge begins and ends.

    ``days`` are exchange-local (``datetime64[D]``, rising), ``opens`` and ``closes`` seconds since
    1970 in UTC, all ``(sessions,)``. ``weekmask`` says for Monday to Sunday whether the exchange
    usually trades.
    """

    first: date
    last: date
    days: NDArray[np.datetime64]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    weekmask: tuple[bool, ...]
    timezone: ZoneInfo

    def covers(self, day: date) -> bool:
        """Whether the calendar knows if ``day`` is a session."""
        return self.first <= day <= self.last

    def hours(self, day: date) -> tuple[datetime, datetime] | None:
        """Return open and close of the session of ``day`` in UTC; ``None`` when there is none."""
        row = int(np.searchsorted(self.days, np.datetime64(day)))
        if row == len(self.days) or self.days[row] != np.datetime64(day):
            return None
        return datetime.fromtimestamp(self.opens[row], UTC), datetime.fromtimestamp(self.closes[row], UTC)

    def usual_hours(self, day: date) -> tuple[datetime, datetime]:
        """Return open and close that ``day`` would have at the local hours most common in the newest sessions."""
        opens, closes = self._usual_offsets
        return self._local(day, opens), self._local(day, closes)

    def days_between(self, first: date, last: date) -> list[date]:
        """Return the sessions ``first <= day <= last``."""
        low, high = np.searchsorted(self.days, [np.datetime64(first), np.datetime64(last + timedelta(days=1))])
        found: list[date] = self.days[low:high].astype("datetime64[D]").tolist()
        return found

    @cached_property
    def _usual_offsets(self) -> tuple[timedelta, timedelta]:
        """Open and close most common in the newest sessions, as distances from midnight on the local clock."""
        newest = range(max(0, len(self.days) - 60), len(self.days))
        opens = self._usual([(self.opens[row], self.days[row]) for row in newest])
        closes = self._usual([(self.closes[row], self.days[row]) for row in newest])
        return opens, closes

    def _usual(self, moments: list[tuple[np.int64, np.datetime64]]) -> timedelta:
        """Return the most common distance of the moments from their days' midnight, on the local clock."""
        local = [datetime.fromtimestamp(int(at), self.timezone).replace(tzinfo=None) for at, _ in moments]
        starts = [datetime.combine(date.fromisoformat(str(day)), time.min) for _, day in moments]
        offsets = [at - start for at, start in zip(local, starts, strict=True)]
        return max(set(offsets), key=offsets.count)

    def _local(self, day: date, offset: timedelta) -> datetime:
        return (datetime.combine(day, time.min) + offset).replace(tzinfo=self.timezone).astimezone(UTC)


@lru_cache(maxsize=64)
def load_schedule(name: str) -> Schedule | None:
    """Return the sessions of the calendar ``name`` from 1970 on, or from when the calendar's knowledge begins.

    ``None`` when the library cannot build that calendar: the caller then counts weekdays.
    """
    return _build(name) if "pandas" in sys.modules else _built_elsewhere(name)


def _build(name: str) -> Schedule | None:
    # Late, because pandas and the calendars cost half a second that a command line's --help need not pay.
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own use of pandas
        try:
            calendar = _open(exchange_calendars, name)
        except (ValueError, NotImplementedError, exchange_calendars.errors.CalendarError):
            # Some calendars fail in the library's holiday rules (Athens, Bucharest and Tel Aviv in 4.13).
            return None
        return _read(calendar)


def _built_elsewhere(name: str) -> Schedule | None:
    """Build the schedule in a process that ends: one without pandas, like the API, stays 40 MB smaller."""
    command = [sys.executable, "-c", f"from {__name__} import print_schedule; print_schedule({name!r})"]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own interpreter and code
    return _from_json(json.loads(done.stdout)) if done.returncode == 0 else _build(name)


def print_schedule(name: str) -> None:
    """Write the schedule ``name`` to standard output, for the process that asked."""
    json.dump(_to_json(_build(name)), sys.stdout)


def _to_json(schedule: Schedule | None) -> dict[str, Any] | None:
    if schedule is None:
        return None
    return {
        "first": schedule.first.isoformat(),
        "last": schedule.last.isoformat(),
        "days": schedule.days.astype(np.int64).tolist(),
        "opens": schedule.opens.tolist(),
        "closes": schedule.closes.tolist(),
        "weekmask": schedule.weekmask,
        "timezone": str(schedule.timezone),
    }


def _from_json(data: dict[str, Any] | None) -> Schedule | None:
    if data is None:
        return None
    return Schedule(
        first=date.fromisoformat(data["first"]),
        last=date.fromisoformat(data["last"]),
        days=np.array(data["days"], np.int64).astype("datetime64[D]"),
        opens=np.array(data["opens"], np.int64),
        closes=np.array(data["closes"], np.int64),
        weekmask=tuple(data["weekmask"]),
        timezone=ZoneInfo(data["timezone"]),
    )


def _open(library: Any, name: str) -> Any:
    """Open the calendar as far back as it goes; by default it starts only twenty years ago."""
    try:
        return library.get_calendar(name, start=EARLIEST.isoformat())
    except ValueError:  # this calendar's holidays are recorded from a later year on
        return library.get_calendar(name, start=library.get_calendar(name).bound_min())


def _read(calendar: Any) -> Schedule:
    """Copy what we need out of the library's calendar."""
    oldest = calendar.bound_min()
    return Schedule(
        first=EARLIEST if oldest is None else max(EARLIEST, oldest.date()),
        last=calendar.last_session.date(),
        days=calendar.sessions.values.astype("datetime64[D]"),
        opens=_seconds(calendar.opens),
        closes=_seconds(calendar.closes),
        weekmask=tuple(flag == "1" for flag in calendar.weekmask),
        timezone=ZoneInfo(str(calendar.tz)),
    )


def _seconds(moments: Any) -> NDArray[np.int64]:
    """Turn a column of UTC times into whole seconds since 1970."""
    return np.asarray(moments.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64))
