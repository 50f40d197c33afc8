"""What every worker does beside its job: report alive, reap lost leases, schedule refreshes, sweep."""

from __future__ import annotations

import os
import socket
import threading
import time

import structlog

from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.jobs import fleet, leases
from app.registry import versions
from app.worker.schedule import submit_due_refresh

_ROUND_SECONDS = 5.0
_SWEEP_SECONDS = 3600.0
# Longer than any job may run: a bundle lies there unregistered while its job is at its last step.
_UNKNOWN_FOR_SECONDS = 2 * 86_400.0

log = structlog.get_logger(__name__)


def keep_house(services: Services, *, worker_id: str, stop: threading.Event) -> None:
    """Go the round every few seconds until ``stop``; no error ends it, each is logged."""
    next_sweep = time.monotonic() + _SWEEP_SECONDS
    while not stop.is_set():
        try:
            go_round(services, worker_id=worker_id)
            if time.monotonic() >= next_sweep:
                next_sweep = time.monotonic() + _SWEEP_SECONDS
                sweep_artifacts(services)
        except StoreUnavailable as error:
            log.warning("upkeep waits for the registry", reason=error.detail)
        except Exception:
            # A worker without upkeep would look alive and leave lost jobs lying: better to go on.
            log.exception("upkeep failed")
        stop.wait(min(_ROUND_SECONDS, services.settings.lease_seconds / 2))


def go_round(services: Services, *, worker_id: str) -> None:
    """Report alive, return lost jobs to the queue, submit what is due.

    Raises:
        StoreUnavailable: the registry is away; come again.
    """
    now, settings = services.clock(), services.settings
    with services.database.write() as tx:
        fleet.beat(tx, worker_id, host=socket.gethostname(), pid=os.getpid(), now=now)
        reaped = leases.reap(tx, now=now)
        refresh = submit_due_refresh(
            tx, retry_seconds=settings.refresh_retry_seconds, max_attempts=settings.max_attempts, now=now
        )
    if reaped:
        log.warning("leases expired", job_ids=reaped)
    if refresh:
        log.info("refresh scheduled", job_id=refresh.job_id, tickers=refresh.payload["tickers"])


def sweep_artifacts(services: Services) -> None:
    """Remove what killed jobs left half-written in the artifact store."""
    with services.database.read() as tx:
        known = versions.locations(tx)
    swept = services.artifacts.sweep(known, older_than_seconds=_UNKNOWN_FOR_SECONDS, now=services.clock())
    if swept:
        log.info("artifacts swept", names=swept)
