"""Workers are told of jobs by Celery: a thread of its own talks to the broker, so that no request waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import structlog

from app.domain.job import Job
from app.errors import BrokerUnavailable
from app.observability.redaction import without_credentials

if TYPE_CHECKING:
    from celery import Celery

REFRESH_QUEUE = "refresh"
_MOST_UNSENT = 10_000

log = structlog.get_logger(__name__)


@dataclass
class CeleryDelivery:
    """Sends ids by the broker at ``url``: of refreshes to their own queue, of all others to ``train_queue``.

    Nothing of Celery is loaded before there is something to say.
    """

    url: str
    train_queue: str
    job_seconds: float
    _unsent: queue.Queue[Job] = field(default_factory=lambda: queue.Queue(_MOST_UNSENT), init=False)
    _is_away: bool = field(default=False, init=False)
    _sender: threading.Thread | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def queues(self) -> tuple[str, ...]:
        """All queues that there are, in the order that a worker looks: no row of trainings makes forecasts stale."""
        return tuple(dict.fromkeys((REFRESH_QUEUE, self.train_queue)))

    def queue_of(self, kind: str) -> str:
        """Return the queue of a kind."""
        return REFRESH_QUEUE if kind == "refresh" else self.train_queue

    def send(self, jobs: Sequence[Job]) -> None:
        """Leave the jobs to the thread that sends; more than it can ever send are left to the upkeep."""
        for job in jobs:
            try:
                self._unsent.put_nowait(job)
            except queue.Full:
                break
        if jobs:
            self._start()

    def waiting(self) -> Mapping[str, int]:
        """Ask the broker."""
        app = self._app
        try:
            with app.connection_for_write() as connection:
                named = [queue.bind(connection.default_channel) for queue in app.conf.task_queues]
                for one in named:
                    one.declare()
                return {one.name: one.queue_declare().message_count for one in named}
        except Exception as error:  # each client library has errors of its own
            raise BrokerUnavailable(f"The broker does not answer: {_reason(error)}.") from error

    @cached_property
    def _app(self) -> Celery:
        # Not above: who only answers, and the process of a job, need not pay for it.
        from app.jobs.delivery.celery_app import celery_app

        return celery_app(self.url, queues=self.queues, job_seconds=self.job_seconds, patient=False)

    def _start(self) -> None:
        with self._lock:
            if self._sender is None:
                self._sender = threading.Thread(target=self._keep_sending, name="delivery", daemon=True)
                self._sender.start()

    def _keep_sending(self) -> None:
        while True:
            job = self._unsent.get()
            try:
                self._send(job)
            except Exception as error:  # each client library has errors of its own
                self._note_away(error)
            else:
                if self._is_away:
                    log.info("broker is back")
                self._is_away = False

    def _send(self, job: Job) -> None:
        # As above.
        from app.jobs.delivery.celery_app import TASK, urgency

        options = {"queue": self.queue_of(job.kind), "priority": urgency(job.priority, self.url)}
        self._app.send_task(TASK, [job.job_id], retry=False, **options)

    def _note_away(self, error: Exception) -> None:
        """Say once that the broker is away, and leave what is unsent to the upkeep: it is told of by then."""
        while not self._unsent.empty():
            self._unsent.get_nowait()
        if not self._is_away:
            log.warning("broker is away: jobs are told of later", reason=_reason(error))
        self._is_away = True


def _reason(error: Exception) -> str:
    return without_credentials(str(error) or type(error).__name__).rstrip(".")
