"""What every worker does beside its job: report alive, reap lost leases, schedule, tell of jobs, sweep, prune."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict

import structlog

from app.errors import BrokerUnavailable, StoreUnavailable
from app.forecasting.services import Services
from app.jobs import fleet, leases, queries
from app.jobs.silence import Silence
from app.keeping.prune import prune_daily
from app.registry import versions
from app.registry.identity import drawn_identity
from app.worker.redelivery import redeliver
from app.worker.schedule import submit_due_refresh

_ROUND_SECONDS = 3.0  # a lost lease takes two
_SWEEP_SECONDS = 3600.0
# Longer than any job may run: a bundle lies there unregistered while its job is at its last step.
_UNKNOWN_FOR_SECONDS = 2 * 86_400.0

log = structlog.get_logger(__name__)


def keep_house(services: Services, *, worker_id: str, stop: threading.Event) -> None:
    """Go the round every few seconds until ``stop``."""
    silence = Silence(services.settings.lease_seconds)

    def go() -> None:
        go_round(services, worker_id=worker_id, silence=silence)
        redeliver(services)

    again_and_again(go, every_seconds=min(_ROUND_SECONDS, services.settings.lease_seconds / 2), stop=stop)


def clear_up(services: Services, *, stop: threading.Event) -> None:
    """Sweep and prune every hour until ``stop``; it may take long, and no sign of life waits for it."""

    def clear() -> None:
        sweep_artifacts(services)
        prune_once_a_day(services)

    if not stop.wait(_SWEEP_SECONDS):
        again_and_again(clear, every_seconds=_SWEEP_SECONDS, stop=stop)


def again_and_again(work: Callable[[], None], *, every_seconds: float, stop: threading.Event) -> None:
    """Do the work until ``stop``; no error ends it, each is logged: what is away once, and once when it is back."""
    awaited = ""
    while not stop.is_set():
        try:
            work()
        except (StoreUnavailable, BrokerUnavailable) as error:
            away = "the broker" if isinstance(error, BrokerUnavailable) else "a store"
            if away != awaited:
                log.warning(f"upkeep waits for {away}", reason=error.detail)
            awaited = away
        except Exception:
            # A worker without upkeep would look alive and leave lost jobs lying: better to go on.
            log.exception("upkeep failed")
        else:
            if awaited:
                log.info("upkeep goes on", awaited=awaited)
            awaited = ""
        stop.wait(every_seconds)


def go_round(services: Services, *, worker_id: str, silence: Silence) -> None:
    """Report alive, return lost jobs to the queue, submit what is due; ``silence`` is kept from round to round.

    Raises:
        StoreUnavailable: the registry is away; come again.
    """
    settings = services.settings
    with services.database.write() as tx:
        now = services.now(tx)
        fleet.beat(tx, worker_id, host=socket.gethostname(), pid=os.getpid(), now=now)
        reaped = leases.reap(tx, now=now, silence=silence)
        free = [job for job in queries.get_many(tx, reaped) if job.state == "queued"]
        refresh = submit_due_refresh(
            tx, retry_seconds=settings.refresh_retry_seconds, max_attempts=settings.max_attempts, now=now
        )
    services.delivery.send([*free, *([refresh] if refresh else [])])
    if reaped:
        log.warning("leases expired", job_ids=reaped)
    if refresh:
        log.info("refresh scheduled", job_id=refresh.job_id, tickers=refresh.payload["tickers"])


def sweep_artifacts(services: Services) -> None:
    """Remove what killed jobs left half-written in the artifact store, if that is this registry's."""
    with services.database.read() as tx:
        known, now = versions.locations(tx), services.now(tx)
    if not known:  # more likely the registry is not this store's than that every version is gone
        return
    with services.database.write() as tx:
        ours = drawn_identity(tx)
    owner = services.artifacts.owner()
    if owner is None:
        services.artifacts.take(ours, known=known)
        owner = services.artifacts.owner()
    if owner != ours:
        log.warning("artifacts not swept", reason="The model store holds bundles of another registry.")
        return
    swept = services.artifacts.sweep(known, older_than_seconds=_UNKNOWN_FOR_SECONDS, now=now)
    if swept:
        log.info("artifacts swept", names=swept)


def prune_once_a_day(services: Services) -> None:
    """Let go of what the settings do not keep, unless another worker has done so today."""
    pruned = prune_daily(services)
    if pruned and any(asdict(pruned).values()):
        log.info("pruned", **asdict(pruned))
