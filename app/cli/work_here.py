"""Work handed in to the registry of this machine, and followed there."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from app.api.searches import refuse_searches_early, search_of
from app.api.submission import order_of, refuse_early, submit_order, submit_refresh
from app.api.training_orders import orders_of
from app.cli.console import describe_problem, err, give_up
from app.cli.place import at_sigterm, say_known
from app.client.progress import JobBar
from app.domain.job import Job
from app.domain.order import TrainingOrder
from app.domain.pooled import PooledOrder
from app.domain.search import TuningOrder
from app.errors import JobAlreadyOver
from app.forecasting.services import Services
from app.jobs import fleet, queries
from app.jobs.leases import request_cancel
from app.worker.loop import run_worker

_LOOK_SECONDS = 0.25


def outcome(kind: str, body: Any, *, title: str, services: Services) -> dict[str, Any]:
    """Queue ``body``, see to it that somebody does the job, show how far it is, and return its result.

    Whatever else becomes of the job ends the command; Ctrl-C and SIGTERM cancel it.
    """
    job = _hand_in(kind, body, services)
    with _some_worker(services, job.job_id), at_sigterm(signal.default_int_handler):
        job = _follow(job, services, title)
    if job.state != "succeeded":
        give_up(describe_problem(job.error or {"code": job.state, "detail": f"The job was {job.state}."}))
    return dict(job.result or {})


def _hand_in(kind: str, body: Any, services: Services) -> Job:
    """Queue the job, or find the active one for the same work and say so."""
    order = None if kind == "refresh" else _order(kind, body, services)
    with services.database.write() as tx:
        if order is None:
            job, deduplicated = submit_refresh(tx, submitted_by="cli", services=services)
        else:
            job, deduplicated = submit_order(tx, order, kind=kind, submitted_by="cli", services=services)
    services.delivery.send([job])
    if deduplicated:
        say_known(kind, job.state, job.job_id)
    return job


def _order(kind: str, body: Any, services: Services) -> TrainingOrder | TuningOrder | PooledOrder:
    """Return the order that a body stands for, refused early as it would be over HTTP."""
    if kind == "train":
        return orders_of(body, services=services)[0]
    if kind == "tune":
        search = search_of(body, body.ticker, services=services)
        refuse_searches_early([search], services=services, is_list=False)
        return search
    order = order_of(body, body.ticker, services=services)
    refuse_early([order], services=services, is_list=False)
    return order


@contextlib.contextmanager
def _some_worker(services: Services, job_id: str) -> Iterator[None]:
    """See to it that somebody does the job: with no worker alive, one in here that takes no other."""
    with services.database.read() as tx:
        alive = fleet.alive(tx, now=services.now(tx), within_seconds=services.settings.lease_seconds)
    if alive:
        yield
        return
    err.print("No worker is running: working in here.")
    stop = threading.Event()
    worker_id = f"{socket.gethostname()}-cli-{secrets.token_hex(3)}"
    options = {"worker_id": worker_id, "stop": stop, "only": job_id}
    worker = threading.Thread(target=run_worker, args=(services,), kwargs=options)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def _follow(job: Job, services: Services, title: str) -> Job:
    """Show the job's progress until it is over."""
    try:
        with JobBar(title, console=err) as bar:
            while not job.is_over:
                time.sleep(_LOOK_SECONDS)
                with services.database.read() as tx:
                    job = queries.get(tx, job.job_id)
                bar.show(job)
    except KeyboardInterrupt:
        with contextlib.suppress(JobAlreadyOver), services.database.write() as tx:
            request_cancel(tx, job.job_id, now=services.now(tx))
        raise
    return job
