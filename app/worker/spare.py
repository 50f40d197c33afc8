"""A process that has loaded what a training needs before there is a job for it, while such jobs wait."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import structlog

from app.domain.job import Job
from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.jobs import queries
from app.worker.child import RUN_JOB, JobProcess
from app.worker.priority import NICENESS, SPARE_NICENESS, weigh_session

TRAINING_KINDS = ("train", "backtest", "tune")
"""Kinds of jobs that need TensorFlow."""

IDLE_SECONDS = 30.0
"""A spare that nobody has waited for this long is given up: a resting service holds no TensorFlow."""

log = structlog.get_logger(__name__)


class Spare:
    """At most one waiting process; all calls from the thread that the worker lives in, with whose end it dies."""

    def __init__(self, command: Sequence[str] = RUN_JOB) -> None:
        self._command = command
        self._child: JobProcess | None = None
        self._wanted_at = 0.0

    def tend(self, *, wanted: bool) -> None:
        """Start it when it is ``wanted``, end it when it was not for ``IDLE_SECONDS``; call it every second or two."""
        now = time.monotonic()
        if wanted:
            self._wanted_at = now
            self._start()
        elif self._child and now - self._wanted_at > IDLE_SECONDS:
            log.info("spare process given up", pid=self._child.pid)
            self.end()

    def take(self, jobs: Sequence[Job]) -> JobProcess | None:
        """Hand the process its jobs and let it go; ``None`` when there is none, or they are none for it."""
        child = self._child
        if child is None or jobs[0].kind not in TRAINING_KINDS:
            return None
        self._child = None
        weigh_session(child.pid, NICENESS)
        try:
            child.give(jobs)
        except OSError:  # it has died meanwhile
            child.end()
            return None
        return child

    def end(self) -> None:
        """Kill it, if there is one."""
        child, self._child = self._child, None
        if child:
            child.end()

    def _start(self) -> None:
        # One that has died is not replaced before the next job: what killed it, such as want of memory, may go on.
        if self._child is None:
            with contextlib.suppress(OSError):  # no process to give: the next job will say so
                self._child = JobProcess(self._command)
                weigh_session(self._child.pid, SPARE_NICENESS)


@contextlib.contextmanager
def job_process(
    jobs: Sequence[Job], command: Sequence[str] = RUN_JOB, spare: Spare | None = None
) -> Iterator[JobProcess]:
    """Give the jobs to the spare process or a fresh one; at the end of the block it and all it started are gone.

    Raises:
        OSError: the machine has no process to give; try again later.
    """
    child = (spare.take(jobs) if spare else None) or JobProcess(command, jobs)
    try:
        yield child
    finally:
        child.end()


def is_wanted(services: Services) -> bool:
    """Return whether a training waits; not while the registry is away."""
    try:
        with services.database.read() as tx:
            return queries.is_waiting(tx, TRAINING_KINDS, now=services.now(tx))
    except StoreUnavailable:
        return False
