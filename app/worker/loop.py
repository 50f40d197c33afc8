"""A worker: claims one job at a time and sees it through in a fresh process. Never imports TensorFlow."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Sequence

import structlog

from app.domain.job import Job
from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.jobs import fleet, leases
from app.worker.child import RUN_JOB
from app.worker.runner import run_in_child
from app.worker.stopping import stop_on_signals
from app.worker.upkeep import keep_house

_POLL_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 10.0

log = structlog.get_logger(__name__)


def work_until_signalled(services: Services) -> None:
    """Be a worker process: work until SIGTERM or SIGINT, then hand back the job at hand and return."""
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    structlog.contextvars.bind_contextvars(worker_id=worker_id)
    run_worker(services, worker_id=worker_id, stop=stop_on_signals())


def run_worker(
    services: Services,
    *,
    worker_id: str,
    stop: threading.Event,
    command: Sequence[str] = RUN_JOB,
    only: str | None = None,
) -> None:
    """Claim and run jobs one by one until ``stop`` is set; a registry that is away is waited for.

    ``command`` is what a job runs in, ``only`` the id of the one job to work on. Call it from a thread that
    lives until all is over, best the main one: a child dies with the thread that started it.
    """
    upkeep = threading.Thread(target=keep_house, args=(services,), kwargs={"worker_id": worker_id, "stop": stop})
    upkeep.start()
    log.info("worker ready", worker_id=worker_id)
    outages = 0
    try:
        while not stop.is_set():
            try:
                job = _claim(services, worker_id, only)
            except StoreUnavailable as error:
                outages += 1
                log.warning("worker waits for the registry", reason=error.detail)
                stop.wait(min(_POLL_SECONDS * 2**outages, _LONGEST_WAIT_SECONDS))
                continue
            outages = 0
            if job is None:
                stop.wait(_POLL_SECONDS)
            else:
                run_in_child(services, job, stop=stop, command=command)
    finally:
        stop.set()
        upkeep.join()
        _sign_off(services, worker_id)


def _claim(services: Services, worker_id: str, only: str | None) -> Job | None:
    seconds = services.settings.lease_seconds
    with services.database.write() as tx:
        return leases.claim(tx, owner=worker_id, lease_seconds=seconds, now=services.clock(), only=only)


def _sign_off(services: Services, worker_id: str) -> None:
    try:
        with services.database.write() as tx:
            fleet.forget(tx, worker_id)
    except StoreUnavailable as error:
        # It will be missed at the next count anyway.
        log.warning("worker left without a word", reason=error.detail)
    log.info("worker stopped", worker_id=worker_id)
