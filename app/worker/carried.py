"""A worker that is told of jobs by a broker: a Celery worker, whose one task claims the row and does the job as ever.

Celery's pool is ``solo``: the task runs in the main thread of this process, which lives until all is over, as the
job's child needs it. A fork would be one process more to watch, and to lose. Signals are ours too: Celery's soft
shutdown would only wait for a job that may take an hour, where ours hands it back within seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from celery import Celery, bootsteps
from celery.exceptions import Reject
from celery.platforms import EX_OK
from celery.worker import WorkController, state
from celery.worker.consumer import consumer as celerys_consumer

from app.domain.job import Job
from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.jobs import leases, queries
from app.jobs.delivery.by_celery import CeleryDelivery
from app.jobs.delivery.celery_app import TASK, celery_app
from app.worker.child import RUN_JOB
from app.worker.duty import on_duty
from app.worker.outage import once_it_answers
from app.worker.runner import run_in_child
from app.worker.spare import Spare
from app.worker.store import await_store

_LOOK_SECONDS = 1.0


def work_carried(
    services: Services,
    delivery: CeleryDelivery,
    *,
    worker_id: str,
    stop: threading.Event,
    queues: Sequence[str] = (),
    command: Sequence[str] = RUN_JOB,
) -> None:
    """Do the jobs that are told of in ``queues``, all by default, until ``stop`` is set.

    Call it from the main thread. A broker or a registry that is away is waited for; what Celery itself cannot recover
    from, it logs and ends this process with.
    """
    _quieten()
    app = celery_app(delivery.url, queues=delivery.queues, job_seconds=delivery.job_seconds, patient=True)
    doer = _Doer(services, worker_id=worker_id, stop=stop, command=command)
    app.task(doer.do, name=TASK, bind=False)
    app.steps["consumer"].add(_look_up_now_and_then(doer))
    threading.Thread(target=_leave, args=(stop,), daemon=True).start()
    controller = _controller(app, worker_id, queues)
    with on_duty(services, worker_id=worker_id, stop=stop):
        try:
            controller.start()
        finally:
            doer.end()
    if controller.exitcode:
        raise SystemExit(controller.exitcode)


def _quieten() -> None:
    logging.getLogger("celery").setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.ERROR)  # jobs have lines of their own
    # At each of its tries, in two lines; the upkeep says once that the broker is away, and why.
    logging.getLogger(celerys_consumer.__name__).addFilter(
        lambda record: record.msg != celerys_consumer.CONNECTION_ERROR
    )


def _leave(stop: threading.Event) -> None:
    """Tell Celery to end once ``stop`` is set: it looks between two messages, and while it waits for a broker."""
    stop.wait()
    state.should_stop = EX_OK


def _controller(app: Celery, worker_id: str, queues: Sequence[str]) -> Any:
    return WorkController(
        app=app,
        hostname=worker_id,
        pool_cls="solo",
        concurrency=1,
        queues=list(queues) or None,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )


class _Doer:
    """Does one job at a time, in the thread that makes it; a process may wait in it for the next."""

    def __init__(self, services: Services, *, worker_id: str, stop: threading.Event, command: Sequence[str]) -> None:
        self._services = services
        self._worker_id = worker_id
        self._stop = stop
        self._command = command
        self._spare = Spare(command)

    def do(self, job_id: str) -> None:
        """Claim the job and see it through; nothing is to be done for one that is over, or somebody else's.

        Raises:
            Reject: the job waits again, and may run at once: the broker is to tell the next worker.
        """
        job = once_it_answers(partial(self._claim, job_id), stop=self._stop)
        if job is None and not self._stop.is_set():
            return
        if job:
            run_in_child(self._services, [job], stop=self._stop, command=self._command, spare=self._spare)
            await_store(self._services, [job], stop=self._stop)
        if self._is_due(job_id):
            raise Reject("the job waits again", requeue=True)

    def look_up(self) -> None:
        """Give up the process that waits for a job when nobody needs it for long."""
        self._spare.tend(wanted=False)

    def end(self) -> None:
        """Leave no process behind."""
        self._spare.end()

    def _claim(self, job_id: str) -> Job | None:
        """Lease the job; ``None`` when it is not to be had."""
        seconds = self._services.settings.lease_seconds
        with self._services.database.write() as tx:
            now = self._services.now(tx)
            return leases.claim(tx, owner=self._worker_id, lease_seconds=seconds, now=now, only=job_id)

    def _is_due(self, job_id: str) -> bool:
        try:
            with self._services.database.read() as tx:
                return queries.is_due(tx, job_id, now=self._services.now(tx))
        except StoreUnavailable:
            return True  # a word too many does no harm


def _look_up_now_and_then(doer: _Doer) -> type[bootsteps.StartStopStep]:
    class LookUp(bootsteps.StartStopStep):  # type: ignore[misc] # Celery has no types
        """Looks every second while there is no job, in the main thread."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            def look() -> None:
                doer.look_up()
                _require_hearing(consumer.task_consumer.channel)

            self.timer = consumer.timer.call_repeatedly(_LOOK_SECONDS, look)

        def stop(self, consumer: Any) -> None:
            self.timer.cancel()

    return LookUp


def _require_hearing(channel: Any) -> None:
    """Have Celery connect anew when it holds back from the next word for one that is done with.

    That is when the network broke and the broker did not hear so: Celery logs it, and though the network heals it
    takes no other word ever.

    Raises:
        ConnectionError: Celery takes the connection for lost.
    """
    held = getattr(channel, "qos", None)  # RabbitMQ counts by itself
    if held is not None and not held.can_consume():
        raise ConnectionError("the broker has not heard that a job is done with")
