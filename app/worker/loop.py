"""A worker: claims a job, or a few alike, and sees them through in a fresh process. Never imports TensorFlow."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import structlog
from sqlalchemy import Connection

from app.domain.job import Job
from app.forecasting.services import Services
from app.jobs import fleet, leases
from app.jobs.delivery.by_celery import CeleryDelivery
from app.worker.child import RUN_JOB
from app.worker.duty import new_worker_id, on_duty
from app.worker.outage import once_it_answers
from app.worker.runner import run_in_child
from app.worker.spare import Spare
from app.worker.stopping import stop_on_signals
from app.worker.store import await_store

_POLL_SECONDS = 0.5


def work_until_signalled(services: Services) -> None:
    """Be a worker process: work until SIGTERM or SIGINT, then hand back the job at hand and return."""
    worker_id, stop = new_worker_id(), stop_on_signals()
    structlog.contextvars.bind_contextvars(worker_id=worker_id)
    if isinstance(services.delivery, CeleryDelivery):
        # Here and not above: who looks for jobs itself does without Celery.
        from app.worker.carried import work_carried

        queues = services.settings.queues
        work_carried(services, services.delivery, worker_id=worker_id, stop=stop, queues=queues)
    else:
        run_worker(services, worker_id=worker_id, stop=stop)


def run_worker(
    services: Services,
    *,
    worker_id: str,
    stop: threading.Event,
    command: Sequence[str] = RUN_JOB,
    only: str | None = None,
) -> None:
    """Claim and run jobs until ``stop`` is set; a registry that is away is waited for, and a model store for a while.

    ``command`` is what jobs run in, ``only`` the id of the one job to work on. Call it from a thread that
    lives until all is over, best the main one: a child dies with the thread that started it.
    """
    spare = Spare(command) if only is None else None
    with on_duty(services, worker_id=worker_id, stop=stop):
        try:
            while not stop.is_set():
                jobs = once_it_answers(partial(_claim, services, worker_id, only), stop=stop)
                if jobs:
                    run_in_child(services, jobs, stop=stop, command=command, spare=spare)
                    if only is None:
                        await_store(services, jobs, stop=stop)
                    continue
                if spare:
                    spare.tend(wanted=False)
                stop.wait(_POLL_SECONDS)
        finally:
            if spare:
                spare.end()


def _claim(services: Services, worker_id: str, only: str | None) -> list[Job]:
    """Lease the next job, and with it those that may share its process."""
    seconds = services.settings.lease_seconds
    with services.database.write() as tx:
        now = services.now(tx)
        job = leases.claim(tx, owner=worker_id, lease_seconds=seconds, now=now, only=only)
        if job is None or only:
            return [job] if job else []
        idle = _idle_workers(tx, services, worker_id)
        others = leases.claim_alike(tx, job, owner=worker_id, lease_seconds=seconds, idle_workers=idle, now=now)
    return [job, *others]


def _idle_workers(tx: Connection, services: Services, worker_id: str) -> int:
    """Count the workers that could take a job now, this one among them; one of this host may be about to start."""
    settings = services.settings
    alive = {one.worker_id for one in fleet.alive(tx, now=services.now(tx), within_seconds=settings.lease_seconds)}
    busy = leases.busy_workers(tx) - {worker_id}
    return max(len(alive | {worker_id}), settings.workers) - len(busy & alive)
