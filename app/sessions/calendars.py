"""From a ticker and a day to the sessions that follow: when they open, when they close, how sure that is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from app.sessions.exchanges import CRYPTO_QUOTES, INDICES, INSTRUMENTS, SUFFIXES, TIMEZONES
from app.sessions.schedule import Schedule, load_schedule

WEEKDAY_FALLBACK = "weekday_fallback"

_CRYPTO = re.compile(rf"^[A-Z0-9]+-({'|'.join(CRYPTO_QUOTES)})$")


@dataclass(frozen=True)
class Session:
    """One trading session: its exchange-local day, and open and close in UTC."""

    day: date
    open_at: datetime
    close_at: datetime


@dataclass(frozen=True)
class Exchange:
    """Whose sessions count; ``approximate`` when only weekdays are known, counted in ``timezone``."""

    name: str
    approximate: bool
    timezone: str = "UTC"


def exchange_of(ticker: str, *, timezone: str | None = None, instrument: str | None = None) -> Exchange:
    """Return the exchange of a ticker: by its class first, then its suffix, then the data's time zone.

    ``timezone`` (IANA) and ``instrument`` are what the price source said. Where nothing fits, the
    answer is the weekday fallback, flagged approximate.
    """
    name = _by_class(ticker, instrument) or _by_listing(ticker) or TIMEZONES.get(timezone or "")
    if name:
        return Exchange(name, approximate=False, timezone=timezone or "UTC")
    return Exchange(WEEKDAY_FALLBACK, approximate=True, timezone=timezone or "UTC")


def next_sessions(exchange: Exchange, after: date, count: int) -> tuple[list[Session], bool]:
    """Return the ``count`` sessions strictly after the day ``after``, and whether any is only approximate.

    Days outside the exchange's calendar are filled by its weekdays at its usual hours.
    """
    found: list[Session] = []
    approximate = exchange.approximate
    day = after
    while len(found) < count:
        day += timedelta(days=1)
        session = session_on(exchange, day)
        if session is not None:
            found.append(session)
            approximate = approximate or not is_exact(exchange, day)
    return found, approximate


def session_on(exchange: Exchange, day: date) -> Session | None:
    """Return the session of ``day``, or ``None`` when the exchange rests."""
    schedule = _schedule(exchange)
    if schedule is not None and schedule.covers(day):
        hours = schedule.hours(day)
        return Session(day, *hours) if hours else None
    if schedule is not None:
        return Session(day, *schedule.usual_hours(day)) if schedule.weekmask[day.weekday()] else None
    if day.weekday() >= 5:
        return None
    return Session(day, _midnight(exchange, day), _midnight(exchange, day + timedelta(days=1)))


def is_exact(exchange: Exchange, day: date) -> bool:
    """Whether the exchange's own calendar knows ``day``, holidays included."""
    schedule = _schedule(exchange)
    return schedule is not None and schedule.covers(day)


def ends_at(exchange: Exchange, day: date) -> datetime:
    """Return the UTC time from which a bar of ``day`` is finished; on a day of rest, the end of that day."""
    session = session_on(exchange, day)
    return session.close_at if session else _midnight(exchange, day + timedelta(days=1))


def sessions_between(exchange: Exchange, first: date, last: date) -> list[date]:
    """Return the days of the sessions from ``first`` to ``last``, both included, oldest first."""
    schedule = _schedule(exchange)
    if schedule is None or last < schedule.first or schedule.last < first:
        return _one_by_one(exchange, first, last)
    known = max(first, schedule.first), min(last, schedule.last)
    before = _one_by_one(exchange, first, known[0] - timedelta(days=1))
    return [*before, *schedule.days_between(*known), *_one_by_one(exchange, known[1] + timedelta(days=1), last)]


def sessions_closed_since(exchange: Exchange, after: date, *, now: datetime) -> int:
    """Return how many sessions after the day ``after`` have closed by ``now`` (aware UTC)."""
    days = sessions_between(exchange, after + timedelta(days=1), _tomorrow(now))
    return len(days) - sum(ends_at(exchange, day) > now for day in days[-3:])


def _one_by_one(exchange: Exchange, first: date, last: date) -> list[date]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if session_on(exchange, day)]


def _by_class(ticker: str, instrument: str | None) -> str | None:
    """Return the calendar of what is not listed on a stock exchange."""
    if ticker in INDICES:
        return INDICES[ticker]
    if ticker.endswith("=F"):
        return "CMES"
    if ticker.endswith("=X"):
        return "24/5"
    if _CRYPTO.match(ticker):
        return "24/7"
    return INSTRUMENTS.get(instrument or "")


def _by_listing(ticker: str) -> str | None:
    """Return the calendar behind Yahoo's suffix; a plain ticker is listed in New York."""
    if ticker.startswith("^"):
        return None
    stem, dot, suffix = ticker.rpartition(".")
    if not dot:
        return "XNYS"
    return SUFFIXES.get(suffix) if stem else None


def _schedule(exchange: Exchange) -> Schedule | None:
    return None if exchange.name == WEEKDAY_FALLBACK else load_schedule(exchange.name)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _midnight(exchange: Exchange, day: date) -> datetime:
    """Return the start of ``day`` in the exchange's time zone, as UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=_zone(exchange.timezone)).astimezone(UTC)


def _tomorrow(now: datetime) -> date:
    """Return a day that no session closed by ``now`` can be later than, in any time zone."""
    return now.astimezone(UTC).date() + timedelta(days=1)
