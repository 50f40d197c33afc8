"""New bars become scores and new forecasts: everything that an alias points to, published as one edition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from app.db import counting
from app.domain.forecast import Forecast
from app.domain.version import CHAMPION
from app.errors import CorruptRecord
from app.forecasting.challenge import promote_challenger
from app.forecasting.drift import retrain
from app.forecasting.fall_back import note_files
from app.forecasting.renewal import Due, NewForecast, Outcome, RenewAll, renew_in_turn
from app.forecasting.services import Services
from app.forecasting.state import SILENT_SESSIONS
from app.registry import aliases, drift, editions, forecasts, scores, tickers, versions
from app.sessions.calendars import Exchange, sessions_closed_since

log = structlog.get_logger(__name__)

Report = Callable[..., None]

_COUNTED = ("scored", "restated", "missing")


def refresh_tickers(
    names: Iterable[str] | None, *, services: Services, report: Report, renew_all: RenewAll = renew_in_turn
) -> dict[str, Any]:
    """Fetch bars, score what was forecast and forecast anew for ``names`` (``None``: every ticker with a version).

    ``renew_all`` does the work of the tickers, in their order, here or elsewhere; the rest is one transaction.
    Forecasts that are due are scored whether or not their ticker still has a version.

    Returns the tickers with a new forecast, those ``unchanged``, and the ``failed`` with their problems; neither one
    ticker's failure nor one version's hides another's forecast. ``scored``, ``restated`` and ``missing`` count the
    steps of earlier forecasts whose session came, changed or never came; ``promoted`` are the tickers whose challenger
    became champion, ``fell_back`` those where an earlier champion answers because the files of the present one are
    damaged. ``edition`` is under which all this is published, ``None`` when nothing that is answered changed.

    Raises:
        WorkerLost: as ``renew_all``; nothing was published, try again later.
    """
    due, failed = _due(names, services=services)
    outcomes: list[Outcome] = []
    report("refresh", 0.0)
    # Closed and not left to the collector: when ``report`` says that the job is lost, nobody may go on for it.
    with closing(renew_all(due, services=services)) as renewed:
        for outcome in renewed:
            outcomes.append(outcome)
            report("refresh", len(outcomes) / (len(due) + 1))  # publishing comes last
    failed += [_failure(one.ticker, problem) for one in outcomes for problem in one.problems]
    edition, moved = _publish(due, outcomes, failed, services=services)
    _log_damage(failed, moved)
    refreshed = [one.ticker for one in outcomes if one.fresh]
    broken = {entry["ticker"] for entry in failed}
    unchanged = [one.ticker for one in due if one.ticker not in refreshed and one.ticker not in broken]
    counts = {name: sum(getattr(one.settled, name) for one in outcomes) for name in _COUNTED}
    listed = {"refreshed": sorted(refreshed), "unchanged": sorted(unchanged), "failed": failed}
    return {"edition": edition, **listed, **moved, **counts}


def _log_damage(failed: list[dict[str, Any]], moved: dict[str, list[str]]) -> None:
    for entry in failed:
        if entry["problem"]["code"] in ("corrupt_artifact", "corrupt_record"):
            log.error("files damaged", ticker=entry["ticker"], detail=entry["problem"]["detail"])
    for ticker in moved["fell_back"]:
        log.warning("earlier champion answers", ticker=ticker)


def _failure(ticker: str, problem: dict[str, Any]) -> dict[str, Any]:
    return {"ticker": ticker, "problem": problem}


def _due(names: Iterable[str] | None, *, services: Services) -> tuple[list[Due], list[dict[str, Any]]]:
    """Read which versions each ticker serves, and whose forecasts wait for their scores without any.

    Returns those, and what cannot be read.
    """
    due: list[Due] = []
    failed: list[dict[str, Any]] = []
    with services.database.read() as tx:
        awaited = set(scores.awaited(tx, until=services.clock().date()))
        for ticker in sorted({*versions.all_tickers(tx), *awaited}) if names is None else names:
            with _failing(ticker, failed):
                newest = versions.newest(tx, ticker)
                if newest is None and ticker not in awaited:
                    continue
                serving = tuple(None if n is None else versions.get(tx, ticker, n) for n in _serving(tx, ticker))
                orders = tuple(one.order for version in serving if (one := version or newest))
                due.append(Due(ticker=ticker, versions=serving, orders=orders))
    return due, failed


def _serving(tx: Connection, ticker: str) -> tuple[int | None, ...]:
    """The numbers of the versions that aliases point to, and ``None`` for the baseline without a champion.

    None at all without a version.
    """
    pointed = aliases.all_aliases(tx, ticker)
    numbers: tuple[int | None, ...] = tuple(sorted(set(pointed.values())))
    return numbers if CHAMPION in pointed or versions.newest(tx, ticker) is None else (*numbers, None)


def _publish(
    due: list[Due], outcomes: list[Outcome], failed: list[dict[str, Any]], *, services: Services
) -> tuple[str | None, dict[str, list[str]]]:
    """Move aliases, store all new forecasts, how sources fared and the times of the next look: one transaction.

    What cannot be read is added to ``failed``; of a ticker of which that holds the rest goes on.
    """
    unread = {entry["ticker"] for entry in failed} - {one.ticker for one in due}
    fresh = [new for one in outcomes for new in one.fresh]
    with services.database.write() as tx:
        # Tickers before the edition, in order, as everywhere: else two writers could wait for each other.
        for ticker in sorted({*unread, *(one.ticker for one in due)}):
            tickers.lock(tx, ticker)
        now = services.clock()  # after all waiting: whether a forecast is live is decided by it
        before = editions.hold(tx)
        for told in outcomes:
            if told.asked:
                tickers.set_source_state(tx, told.ticker, ok=told.outage is None, error=told.outage, now=now)
        moved = _move_champions(tx, outcomes, failed, now=now)
        edition = editions.next_edition(tx) if fresh else str(editions.current(tx))
        for new in fresh:
            forecasts.store(tx, new.forecast.published(edition, now=now))
            with _failing(new.forecast.ticker, failed):
                _note_drift(tx, new, now=now, services=services)
        retry = now + services.refresh_retry
        for ticker in unread:
            tickers.set_next_update(tx, ticker, retry)
        for one in due:
            at: datetime | None = retry
            with _failing(one.ticker, failed):
                at = _planned(tx, one, retry=retry, now=now, services=services)
            tickers.set_next_update(tx, one.ticker, at)
        _count_corrupt(tx, failed)
    return edition if edition != str(before) else None, moved


def _move_champions(
    tx: Connection, outcomes: list[Outcome], failed: list[dict[str, Any]], *, now: datetime
) -> dict[str, list[str]]:
    """Have stand-ins answer for damaged champions, and challengers that have earned it; return the tickers of each."""
    moved: dict[str, list[str]] = {"promoted": [], "fell_back": []}
    for one in outcomes:
        with _failing(one.ticker, failed):
            if note_files(tx, one.ticker, one.files, now=now):
                moved["fell_back"].append(one.ticker)
            elif promote_challenger(tx, one.ticker, now=now):
                moved["promoted"].append(one.ticker)
    return moved


@contextmanager
def _failing(ticker: str, failed: list[dict[str, Any]]) -> Iterator[None]:
    """Let what cannot be read of ``ticker`` be its problem, and no other's."""
    try:
        yield
    except CorruptRecord as error:
        failed += [_failure(ticker, error.to_problem())]


def _count_corrupt(tx: Connection, failed: list[dict[str, Any]]) -> None:
    found = sum(entry["problem"]["code"] == "corrupt_artifact" for entry in failed)
    if found:
        counting.add(tx, counting.CORRUPT_ARTIFACTS, found)


def _note_drift(tx: Connection, new: NewForecast, *, now: datetime, services: Services) -> None:
    """Keep how far the version's world has moved, and train anew when a champion's has moved too far."""
    version = new.version
    if version is None or new.drift is None:
        return
    drift.write(tx, version.ticker, version.number, new.drift, now=now)
    if aliases.current(tx, version.ticker, CHAMPION) == version.number:
        retrain(tx, version, new.drift, services=services, now=now)


def _planned(tx: Connection, one: Due, *, retry: datetime, now: datetime, services: Services) -> datetime | None:
    """When to look for the ticker's next bar; ``None``, at once, when its aliases moved meanwhile."""
    numbers = tuple(version.number if version else None for version in one.versions)
    if numbers != _serving(tx, one.ticker):
        return None
    served = [forecasts.latest(tx, one.ticker, number) for number in numbers]
    if not numbers:
        served = list(forecasts.history(tx, one.ticker, since=None, before=None, limit=1))
    known = [stored for stored in served if stored]
    if not known:
        return retry
    late = max(_late_sessions(stored, now=now) for stored in known)
    tickers.note_bars(tx, one.ticker, due_at=min(stored.next_update_at for stored in known), late_sessions=late)
    return min(next_look(stored, now=now, services=services) for stored in known)


def next_look(stored: Forecast, *, now: datetime, services: Services) -> datetime:
    """When to ask for the bar after ``stored``: when it is due, or again after a while when it is late."""
    if stored.next_update_at > now:
        return stored.next_update_at
    retry = services.refresh_retry
    is_silent = _late_sessions(stored, now=now) > SILENT_SESSIONS
    return now + (max(retry, timedelta(days=1)) if is_silent else retry)


def _late_sessions(stored: Forecast, *, now: datetime) -> int:
    """How many sessions have closed since that of ``stored``, none before the next bar is due."""
    if stored.next_update_at > now:
        return 0
    calendar = stored.calendar
    exchange = Exchange(calendar["exchange"], calendar["approximate"], calendar["timezone"])
    return sessions_closed_since(exchange, stored.as_of_session, now=now)
