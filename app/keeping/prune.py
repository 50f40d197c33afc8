"""Pruning, top to bottom: what has served its time goes, in short transactions, rows before files."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, takewhile

from app.forecasting.services import Services
from app.jobs import fleet
from app.jobs import retention as work
from app.registry import audit, kept_files, retention, snapshots
from app.registry.identity import identity

# Longer than any job may run: bars are fetched at its beginning, and referred to at its end.
_UNREFERRED_FOR = timedelta(days=2)
_ROWS_AT_ONCE = 500
_BY = "retention"  # in the audit log


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """How many of each went, or would go."""

    jobs: int
    idempotency_keys: int
    workers: int
    audit_entries: int
    versions: int
    snapshots: int
    snapshot_files: int


def prune(services: Services) -> Pruned:
    """Let go of what the settings do not keep; forecasts and scores always stay.

    Raises:
        StoreUnavailable: disk or database refuse; what went is gone, come again for the rest.
    """
    settings = services.settings
    with services.database.write() as tx:
        now = services.now(tx)
        snapshots.forget_gone(tx, now=now)
        keys = work.forget_expired_keys(tx, now)
        workers = fleet.forget_silent(tx, now - fleet.FORGOTTEN_AFTER)
    return Pruned(
        jobs=_prune_rows(services, work.forget_ended, _days_ago(settings.keep_jobs_days, now)),
        idempotency_keys=keys,
        workers=workers,
        audit_entries=_prune_rows(services, audit.forget_before, _days_ago(settings.keep_audit_days, now)),
        versions=_prune_versions(services),
        snapshots=_prune_snapshots(services, now),
        snapshot_files=_sweep_snapshots(services, now),
    )


def to_prune(services: Services) -> Pruned:
    """Return what ``prune`` would let go of now; bars that only such a version learnt from go with the next.

    Raises:
        StoreUnavailable: disk or database refuse; try again later.
    """
    settings = services.settings
    with services.database.read() as tx:
        now = services.now(tx)
        job, entry = _days_ago(settings.keep_jobs_days, now), _days_ago(settings.keep_audit_days, now)
        surplus = retention.surplus_versions(tx, keep=settings.keep_versions) if settings.keep_versions else {}
        unused = retention.unused_snapshots(tx, before=now - _UNREFERRED_FOR, in_use=work.snapshots_in_use(tx))
        left, ours = set(kept_files.snapshot_ids(tx)).difference(unused), identity(tx)
        rows = Pruned(
            jobs=work.ended_before(tx, job) if job else 0,
            idempotency_keys=work.expired_keys(tx, now),
            workers=fleet.silent_since(tx, now - fleet.FORGOTTEN_AFTER),
            audit_entries=audit.count_before(tx, entry) if entry else 0,
            versions=sum(map(len, surplus.values())),
            snapshots=len(unused),
            snapshot_files=0,
        )
    return replace(rows, snapshot_files=len(_strays(services, left, ours, now)))


def prune_daily(services: Services) -> Pruned | None:
    """Prune unless some worker has done so today; return what went, ``None`` when it was not our turn.

    Raises:
        StoreUnavailable: disk or database refuse; the rest waits for tomorrow.
    """
    with services.database.write() as tx:
        if not retention.claim_day(tx, services.now(tx)):
            return None
    pruned = prune(services)
    services.database.tidy()
    return pruned


def _days_ago(days: int, now: datetime) -> datetime | None:
    """Return the moment before which things are let go of; ``None`` when they are kept for ever."""
    return now - timedelta(days=days) if days else None


def _prune_rows(services: Services, forget: Callable[..., int], oldest: datetime | None) -> int:
    """Forget what is from before ``oldest``, some of it in each transaction."""
    if oldest is None:
        return 0

    def some() -> int:
        with services.database.write() as tx:
            return forget(tx, oldest, limit=_ROWS_AT_ONCE)

    return sum(takewhile(bool, (some() for _ in count())))


def _prune_versions(services: Services) -> int:
    if not services.settings.keep_versions:
        return 0
    with services.database.read() as tx:
        surplus = retention.surplus_versions(tx, keep=services.settings.keep_versions)
    gone = 0
    for ticker, numbers in surplus.items():
        with services.database.write() as tx:
            forgotten = retention.forget_versions(tx, ticker, numbers)
            for number in sorted(forgotten):
                subject, now = f"{ticker} {number}", services.clock()
                audit.record(tx, who=_BY, action=audit.VERSION_DELETED, subject=subject, now=now)
        for location in forgotten.values():
            services.artifacts.delete(location)
        gone += len(forgotten)
    return gone


def _prune_snapshots(services: Services, now: datetime) -> int:
    before = now - _UNREFERRED_FOR
    with services.database.read() as tx:
        unused = retention.unused_snapshots(tx, before=before, in_use=work.snapshots_in_use(tx))
    gone = 0
    for start in range(0, len(unused), _ROWS_AT_ONCE):
        with services.database.write() as tx:
            gone += len(retention.forget_snapshots(tx, unused[start : start + _ROWS_AT_ONCE], before=before))
    return gone


def _sweep_snapshots(services: Services, now: datetime) -> int:
    """Remove the files of bars that no row names: forgotten just now, or by a process that was killed then."""
    with services.database.read() as tx:
        known, ours = set(kept_files.snapshot_ids(tx)), identity(tx)
    return sum(_remove_stray(services, name) for name in _strays(services, known, ours, now))


def _remove_stray(services: Services, name: str) -> bool:
    """Look once more and remove the file: a row is never without its file."""

    def may_go(snapshot_id: str) -> bool:
        with services.database.write() as tx:
            return snapshots.let_go(tx, snapshot_id, now=services.now(tx))

    return services.snapshots.remove(name, may_go=may_go)


def _strays(services: Services, known: Set[str], ours: str | None, now: datetime) -> list[str]:
    if not known:  # more likely the registry is not this store's than that all bars are gone
        return []
    if services.artifacts.owner() not in (None, ours):  # then neither are the bars
        return []
    return services.snapshots.strays(known, before=now - _UNREFERRED_FOR)
