"""A worker: claims a job, or a few alike, and sees them through in a fresh process. Never imports TensorFlow."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Sequence

import structlog
from sqlalchemy import Connection

from app.domain.job import Job
from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.jobs import fleet, leases
from app.worker.child import RUN_JOB
from app.worker.runner import run_in_child
from app.worker.spare import Spare
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
    """Claim and run jobs until ``stop`` is set; a registry that is away is waited for.

    ``command`` is what jobs run in, ``only`` the id of the one job to work on. Call it from a thread that
    lives until all is over, best the main one: a child dies with the thread that started it.
    """
    upkeep = threading.Thread(target=keep_house, args=(services,), kwargs={"worker_id": worker_id, "stop": stop})
    upkeep.start()
    log.info("worker ready", worker_id=worker_id)
    spare = Spare(command) if only is None else None
    outages = 0
    try:
        while not stop.is_set():
            try:
                jobs = _claim(services, worker_id, only)
            except StoreUnavailable as error:
                outages += 1
                log.warning("worker waits for the registry", reason=error.detail)
                stop.wait(min(_POLL_SECONDS * 2**outages, _LONGEST_WAIT_SECONDS))
                continue
            outages = 0
            if jobs:
                run_in_child(services, jobs, stop=stop, command=command, spare=spare)
                continue
            if spare:
                spare.tend(wanted=False)
            stop.wait(_POLL_SECONDS)
    finally:
        stop.set()
        if spare:
            spare.end()
        upkeep.join()
        _sign_off(services, worker_id)


def _claim(services: Services, worker_id: str, only: str | None) -> list[Job]:
    """Lease the next job, and with it those that may share its process."""
    seconds, now = services.settings.lease_seconds, services.clock()
    with services.database.write() as tx:
        job = leases.claim(tx, owner=worker_id, lease_seconds=seconds, now=now, only=only)
        if job is None or only:
            return [job] if job else []
        idle = _idle_workers(tx, services, worker_id)
        others = leases.claim_alike(tx, job, owner=worker_id, lease_seconds=seconds, idle_workers=idle, now=now)
    return [job, *others]


def _idle_workers(tx: Connection, services: Services, worker_id: str) -> int:
    """Count the workers that could take a job now, this one among them; one of this host may be about to start."""
    settings = services.settings
    alive = {one.worker_id for one in fleet.alive(tx, now=services.clock(), within_seconds=settings.lease_seconds)}
    busy = leases.busy_workers(tx) - {worker_id}
    return max(len(alive | {worker_id}), settings.workers) - len(busy & alive)


def _sign_off(services: Services, worker_id: str) -> None:
    try:
        with services.database.write() as tx:
            fleet.forget(tx, worker_id)
    except StoreUnavailable as error:
        # It will be missed at the next count anyway.
        log.warning("worker left without a word", reason=error.detail)
    log.info("worker stopped", worker_id=worker_id)
