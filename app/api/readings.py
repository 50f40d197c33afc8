"""What a scrape reads from the registry: few statements, none of which grows with the record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.db import counting
from app.domain.breaker import HALF_OPEN, OPEN, Breaker
from app.forecasting.guarded_prices import GuardedPrices
from app.forecasting.services import Services
from app.forecasting.state import SILENT_SESSIONS
from app.jobs.fleet import alive
from app.jobs.outcomes import outcomes
from app.jobs.queries import queue_stats
from app.observability.metrics import Reading
from app.registry import aliases, editions, score_sums, source_state, versions
from app.registry.condition import condition
from app.registry.score_sums import KEPT_WINDOW, SUMMED_LEVELS

WORKER_SILENT_SECONDS = 60.0
LATELY = timedelta(hours=1)

_SHUT_STATES = {HALF_OPEN: 1, OPEN: 2}
_COUNTED = {
    counting.LEASE_EXPIRIES: "morrow_lease_expiries_total",
    counting.CORRUPT_ARTIFACTS: "morrow_corrupt_artifacts_total",
}


def readings(services: Services) -> Iterator[Reading]:
    """Read what only the registry knows, at one moment of it."""
    guarded = [name for name, source in services.sources.items() if isinstance(source, GuardedPrices)]
    with services.database.read() as tx:
        now = services.now(tx)
        found = [*_work(tx, now), *_holdings(tx), *_forecasts(tx, now), *_sources(tx, guarded, now)]
    yield from found


def _work(tx: Connection, now: datetime) -> Iterator[Reading]:
    stats = queue_stats(tx, now)
    oldest = stats.pop("oldest_queued_seconds")
    yield from (Reading(name="morrow_jobs", value=value, labels={"state": state}) for state, value in stats.items())
    yield Reading(name="morrow_job_queue_oldest_seconds", value=oldest)
    for one in outcomes(tx, since=now - LATELY):
        labels = {"kind": one.kind, "state": one.state, "code": one.code}
        yield Reading(name="morrow_jobs_ended_lately", value=one.count, labels=labels)
        if one.mean_seconds is not None and one.longest_seconds is not None:
            yield Reading(name="morrow_job_mean_seconds", value=one.mean_seconds, labels=labels)
            yield Reading(name="morrow_job_longest_seconds", value=one.longest_seconds, labels=labels)
    yield Reading(name="morrow_workers_alive", value=len(alive(tx, now=now, within_seconds=WORKER_SILENT_SECONDS)))
    for name, value in counting.read(tx, list(_COUNTED)).items():
        yield Reading(name=_COUNTED[name], value=value)


def _holdings(tx: Connection) -> Iterator[Reading]:
    yield Reading(name="morrow_model_versions", value=versions.count(tx))
    yield Reading(name="morrow_champions", value=aliases.count(tx, "champion"))
    yield Reading(name="morrow_edition", value=editions.current(tx))


def _forecasts(tx: Connection, now: datetime) -> Iterator[Reading]:
    fares = condition(tx, silent_sessions=SILENT_SESSIONS, now=now)
    yield Reading(name="morrow_tickers_served", value=fares.served)
    yield Reading(name="morrow_tickers_degraded", value=fares.degraded)
    yield Reading(name="morrow_tickers_silent", value=fares.silent)
    yield Reading(name="morrow_bars_lag_sessions", value=fares.late_sessions)
    yield Reading(name="morrow_forecast_freshness_seconds", value=fares.overdue_seconds)
    found = score_sums.overall(tx, "live", window=KEPT_WINDOW).values()
    n = sum(sums["n"] for sums in found)
    yield Reading(name="morrow_forecasts_scored", value=n)
    if not n:
        return
    ratios = {level: sum(sums[f"displayed_{level}"] for sums in found) / n for level in SUMMED_LEVELS}
    for level, ratio in ratios.items():
        yield Reading(name="morrow_forecast_coverage_ratio", value=ratio, labels={"level": str(level)})
    off = max(abs(ratio - level / 100) for level, ratio in ratios.items())
    yield Reading(name="morrow_forecast_calibration_error", value=off)


def _sources(tx: Connection, guarded: list[str], now: datetime) -> Iterator[Reading]:
    known = source_state.known(tx)
    for source in guarded:
        breaker = known.get(source, Breaker())
        # Nobody notes that a pause is over before the next question, which may be hours away.
        state = 0 if breaker.admits(now=now) else _SHUT_STATES[breaker.state]
        yield Reading(name="morrow_source_breaker_state", value=state, labels={"source": source})
