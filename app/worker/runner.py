"""Claimed jobs and the child they run in, watched to the end: heartbeat, cancel, time limit, lost lease, stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from sqlalchemy import Connection

from app.domain.job import Job
from app.errors import AppError, JobCrashed, StoreUnavailable, TimeLimitExceeded, WorkerLost
from app.forecasting.services import Services
from app.jobs import leases
from app.worker.child import RUN_JOB, JobProcess
from app.worker.held import HeldJobs
from app.worker.spare import Spare, is_wanted, job_process

TRY_AGAIN = 75
"""Exit code of a child that could not even write why it failed (``EX_TEMPFAIL``)."""

_LOOK_SECONDS = 0.05
_LONGEST_HEARTBEAT_SECONDS = 2.0  # a cancel is seen at a heartbeat
_FAREWELL_SECONDS = 5.0

log = structlog.get_logger(__name__)


def run_in_child(
    services: Services,
    jobs: Sequence[Job],
    *,
    stop: threading.Event,
    command: Sequence[str] = RUN_JOB,
    spare: Spare | None = None,
) -> list[str]:
    """Run claimed ``jobs`` in one fresh process until they are over for this worker; return how each ended.

    ``exited`` | ``returned`` (it waits again) | ``cancelled`` | ``too_long`` | ``stopped`` (handed back, the attempt
    not counted) | ``lost`` (another worker has it: nothing was written) | ``no_process``. A job's own success is
    written by the child; here only what a child cannot say of itself. Of several jobs, those that a dying
    child leaves unfinished are handed back, and each runs alone then.
    """
    held = HeldJobs(services, jobs)
    try:
        with job_process(jobs, command, spare) as child:
            for job in jobs:
                log.info("job started", job_id=job.job_id, kind=job.kind, ticker=job.ticker, pid=child.pid)
            ending = _watch(services, held, child, stop, spare)
        code, last_lines = child.exit_code if ending == "exited" else None, list(child.last_lines)
    except OSError as error:
        ending, code, last_lines = "no_process", None, [str(error)]
    _settle(held, ending, code, services, last_lines=last_lines, in_company=len(jobs) > 1)
    return [held.endings[job.job_id] for job in jobs]


def _watch(services: Services, held: HeldJobs, child: JobProcess, stop: threading.Event, spare: Spare | None) -> str:
    """Look at the child until something ends it, and say what."""
    started = last_beat = time.monotonic()
    every = min(services.settings.lease_seconds / 3, _LONGEST_HEARTBEAT_SECONDS)
    while child.exit_code is None:
        if stop.wait(_LOOK_SECONDS):
            return "stopped"
        now = time.monotonic()
        if held.overdue(now - started):
            return "too_long"
        if now - last_beat >= every:
            last_beat = now
            held.heartbeat()
            if not held.jobs:
                _farewell(held, child)
                break
            if spare:
                spare.tend(wanted=is_wanted(services))
    return "exited"


def _farewell(held: HeldJobs, child: JobProcess) -> None:
    """Let a child that has just written how its jobs end leave; one whose leases are all lost or cancelled may not."""
    if {"exited", "returned"}.isdisjoint(held.endings.values()):
        return
    patience = time.monotonic() + _FAREWELL_SECONDS
    while child.exit_code is None and time.monotonic() < patience:
        time.sleep(_LOOK_SECONDS)


def _settle(
    held: HeldJobs, ending: str, code: int | None, services: Services, *, last_lines: list[str], in_company: bool
) -> None:
    """Write how the jobs ended that are still held; the fence makes it nothing where the child was first."""
    errors: dict[str, AppError] = {}
    for job in held.jobs:
        if error := _error(job, held, ending, code, in_company=in_company):
            errors[job.job_id] = error
    jobs = held.jobs
    _insist(services, lambda tx: _write(tx, jobs, errors, services, last_lines), seconds=_patience(services, ending))
    for job in jobs:
        held.let_go(job.job_id, ending if job.job_id in errors else "stopped")


def _write(
    tx: Connection, jobs: Sequence[Job], errors: Mapping[str, AppError], services: Services, last_lines: list[str]
) -> None:
    """Fail the jobs that have an error, hand back the others."""
    for job in jobs:
        error, now = errors.get(job.job_id), services.now(tx)
        if error is None:
            leases.release(tx, job.job_id, job.fence, now=now)
            continue
        state = leases.fail(tx, job.job_id, job.fence, error, now=now)
        facts = {"job_id": job.job_id, "code": error.code, "last_lines": last_lines}
        if state == "queued":
            log.warning("job will be tried again", **facts)
        elif state == "failed":
            log.error("job failed", **facts)


def _error(job: Job, held: HeldJobs, ending: str, code: int | None, *, in_company: bool) -> AppError | None:
    """Return what is to be said of a job that its child left unfinished; ``None``: nothing, it did not fail."""
    if ending == "stopped":
        return None
    if ending == "too_long":
        limit = held.limit_of(job)
        if in_company:  # what took so long may be another's: each is tried again alone
            return WorkerLost("The jobs that shared a process used up the time of one.", limit_seconds=limit)
        return TimeLimitExceeded(f"The job ran longer than its {limit:g} seconds.", limit_seconds=limit)
    if ending == "no_process":
        return WorkerLost("The worker could not start a process for the job.")
    if code == TRY_AGAIN:
        return WorkerLost("The job's process could not reach the registry.")
    if code is not None and code < 0:
        # Most often the kernel's out-of-memory killer: on a quieter machine it may pass.
        return WorkerLost(f"The job's process was killed by signal {-code}.", signal=-code)
    if in_company:
        return WorkerLost("The process that the job shared ended without a word.", exit_code=code)
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
