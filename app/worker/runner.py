"""A claimed job and its child, watched to the end: heartbeat, cancel, time limit, lost lease, stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy import Connection

from app.domain.job import Job
from app.errors import AppError, JobCrashed, StoreUnavailable, TimeLimitExceeded, WorkerLost
from app.forecasting.services import Services
from app.jobs import leases, queries
from app.worker.child import RUN_JOB, JobProcess, job_process

TRY_AGAIN = 75
"""Exit code of a child that could not even write why it failed (``EX_TEMPFAIL``)."""

_LOOK_SECONDS = 0.05
_LONGEST_HEARTBEAT_SECONDS = 2.0  # a cancel is seen at a heartbeat
_FAREWELL_SECONDS = 5.0

log = structlog.get_logger(__name__)


def run_in_child(services: Services, job: Job, *, stop: threading.Event, command: Sequence[str] = RUN_JOB) -> str:
    """Run a claimed ``job`` in a fresh process until it is over for this worker; return how it ended.

    ``exited`` | ``cancelled`` | ``too_long`` | ``stopped`` (handed back, the attempt not counted) |
    ``lost`` (another worker has it: nothing was written) | ``no_process``. The job's own success is
    written by the child; here only what a child cannot say of itself.
    """
    try:
        with job_process(job, command) as child:
            log.info("job started", job_id=job.job_id, kind=job.kind, ticker=job.ticker, pid=child.pid)
            ending = _watch(services, job, child, stop)
        code = child.exit_code if ending == "exited" else None
        last_lines = list(child.last_lines)
    except OSError as error:
        ending, code, last_lines = "no_process", None, [str(error)]
    _insist(services, _verdict(job, ending, code, last_lines, services), seconds=_patience(services, ending))
    log.info("job left", job_id=job.job_id, ending=ending, exit_code=code)
    return ending


def _watch(services: Services, job: Job, child: JobProcess, stop: threading.Event) -> str:
    """Look at the child until something ends it, and say what."""
    limit = _time_limit(job, services)
    started = last_beat = time.monotonic()
    every = min(services.settings.lease_seconds / 3, _LONGEST_HEARTBEAT_SECONDS)
    while child.exit_code is None:
        if stop.wait(_LOOK_SECONDS):
            return "stopped"
        if time.monotonic() - started > limit:
            return "too_long"
        if time.monotonic() - last_beat >= every:
            last_beat = time.monotonic()
            if ending := _heartbeat(services, job, child):
                return ending
    return "exited"


def _time_limit(job: Job, services: Services) -> float:
    return float(job.payload.get("timeout_seconds") or services.settings.job_timeout_seconds)


def _heartbeat(services: Services, job: Job, child: JobProcess) -> str | None:
    """Renew the lease; return the reason to end the child, or ``None`` to go on."""
    try:
        with services.database.write() as tx:
            cancel = leases.heartbeat(
                tx, job.job_id, job.fence, lease_seconds=services.settings.lease_seconds, now=services.clock()
            )
        if cancel is None:
            return _farewell(services, job, child)
    except StoreUnavailable as error:
        # Nobody else can claim it either while the registry is away: the fence decides afterwards.
        log.warning("heartbeat failed", job_id=job.job_id, reason=error.detail)
        return None
    return "cancelled" if cancel else None


def _farewell(services: Services, job: Job, child: JobProcess) -> str:
    """Tell a child that has just ended its job, and may clean up, from one whose lease is lost."""
    with services.database.read() as tx:
        row = queries.get(tx, job.job_id)
    if not (row.is_over and row.fence == job.fence):
        return "lost"
    patience = time.monotonic() + _FAREWELL_SECONDS
    while child.exit_code is None and time.monotonic() < patience:
        time.sleep(_LOOK_SECONDS)
    return "exited"


def _verdict(
    job: Job, ending: str, code: int | None, last_lines: list[str], services: Services
) -> Callable[[Connection], object]:
    """Return what is to be written about the job; the fence makes it nothing where the child was first."""
    now = services.clock
    if ending == "cancelled":
        return lambda tx: leases.cancelled(tx, job.job_id, job.fence, now=now())
    if ending == "stopped":
        return lambda tx: leases.release(tx, job.job_id, job.fence, now=now())
    if ending == "lost":
        log.warning("lease lost", job_id=job.job_id, fence=job.fence)
        return lambda tx: None
    error = _error(job, ending, code, services)

    def fail(tx: Connection) -> None:
        state = leases.fail(tx, job.job_id, job.fence, error, now=now())
        if state is not None:
            log.error("job failed", job_id=job.job_id, code=error.code, state=state, last_lines=last_lines)

    return fail


def _error(job: Job, ending: str, code: int | None, services: Services) -> AppError:
    if ending == "too_long":
        limit = _time_limit(job, services)
        return TimeLimitExceeded(f"The job ran longer than its {limit:g} seconds.", limit_seconds=limit)
    if ending == "no_process":
        return WorkerLost("The worker could not start a process for the job.")
    if code == TRY_AGAIN:
        return WorkerLost("The job's process could not reach the registry.")
    if code is not None and code < 0:
        # Most often the kernel's out-of-memory killer: on a quieter machine it may pass.
        return WorkerLost(f"The job's process was killed by signal {-code}.", signal=-code)
    return JobCrashed("The job's process ended without a word; the worker's log has more.", exit_code=code)


def _patience(services: Services, ending: str) -> float:
    """Seconds to insist on a write: the lease outlives no more; a stop has to be short."""
    return min(5.0, services.settings.lease_seconds) if ending == "stopped" else services.settings.lease_seconds


def _insist(services: Services, write: Callable[[Connection], object], *, seconds: float) -> None:
    """Write, again and again while the registry is away; after ``seconds`` the reaper will decide instead."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with services.database.write() as tx:
                write(tx)
        except StoreUnavailable as error:
            if time.monotonic() > deadline:
                log.error("gave up on a write", reason=error.detail)
                return
            time.sleep(0.5)
        else:
            return
