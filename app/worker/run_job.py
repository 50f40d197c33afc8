"""``python -m app.worker.run_job [JOB_ID FENCE ...]``: the fresh process that claimed jobs run in."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection

from app.bootstrap import open_services
from app.domain.job import Job
from app.errors import AppError, JobCrashed, StoreUnavailable, WorkerLost
from app.forecasting.services import Services
from app.jobs import leases, queries
from app.observability.logs import configure_logging
from app.settings import Settings
from app.worker.company import Task, TogetherHandler, in_company, train_together
from app.worker.courtesy import write_or_go_on
from app.worker.handlers import HANDLERS, Handler
from app.worker.parentage import follow_parent
from app.worker.runner import TRY_AGAIN

_REPORT_SECONDS = 0.5
# Yahoo's client first: TensorFlow's libraries break its TLS otherwise.
_NEEDED = ("app.prices.yahoo", "app.training.train", "app.training.threads")

log = structlog.get_logger("app.worker.run_job")  # ``__name__`` is ``__main__`` in the process of a job


def main(
    arguments: Sequence[str],
    *,
    handlers: Mapping[str, Handler] = HANDLERS,
    together: TogetherHandler = train_together,
    needed: Sequence[str] = _NEEDED,
) -> int:
    """Do the claimed job, or several ``together``, write the end of each, and return the exit code.

    Without ``arguments`` the modules that are ``needed`` are loaded, and the jobs then come as a line on
    standard input. 0: the rows of the jobs say how they ended. ``TRY_AGAIN``: a row could not be
    written, or is not ours.
    """
    follow_parent()
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    if not arguments:
        for module in needed:
            importlib.import_module(module)
        arguments = sys.stdin.readline().split()
    try:
        services = open_services(settings)
        claims = list(zip(arguments[::2], map(int, arguments[1::2]), strict=True))
        jobs = _ours(services, claims)
        code = 0 if len(jobs) == len(claims) else TRY_AGAIN
        if len(claims) > 1:
            _work_together(services, jobs, together)
        elif jobs:
            code = _work(services, jobs[0], handlers[jobs[0].kind])
    except StoreUnavailable as error:
        log.error("registry away", **error.to_problem())
        return TRY_AGAIN
    return code


def _ours(services: Services, claims: Sequence[tuple[str, int]]) -> list[Job]:
    """Return the jobs that are still as they were claimed."""
    with services.database.read() as tx:
        found = [(queries.get(tx, job_id), fence) for job_id, fence in claims]
    for job, fence in found:
        if job.state != "running" or job.fence != fence:
            log.warning("job is not ours", job_id=job.job_id, state=job.state, fence=job.fence, ours=fence)
    return [job for job, fence in found if job.state == "running" and job.fence == fence]


def _work(services: Services, job: Job, handle: Handler) -> int:
    structlog.contextvars.bind_contextvars(job_id=job.job_id, ticker=job.ticker)
    try:
        handle(job, services=services, report=progress_reporter(services, job), complete=_completer(services, job))
    except Exception as error:
        return _fail(services, job, error)
    return 0


def _work_together(services: Services, jobs: Sequence[Job], together: TogetherHandler) -> None:
    """Do all jobs; what befalls one ends that one, and what befalls all has each tried again, alone."""

    def failed(job: Job, error: Exception) -> None:
        _fail(services, job, error)  # nothing is to be written of one that was cancelled meanwhile

    tasks = [
        Task(
            job=job,
            report=in_company(progress_reporter(services, job, every=_REPORT_SECONDS * len(jobs))),
            complete=_completer(services, job),
        )
        for job in jobs
    ]
    try:
        together(tasks, services=services, failed=failed)
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("jobs crashed together")
        for job in jobs:
            failed(job, WorkerLost("The process that the job shared failed."))


def progress_reporter(services: Services, job: Job, *, every: float = _REPORT_SECONDS) -> Callable[..., None]:
    """Return ``report(stage, fraction, **facts)``: a change of stage is written at once, the rest ``every`` so often.

    Raises (the returned function):
        WorkerLost: the lease is lost; let it pass, nothing of this attempt counts any more.
    """
    last_stage, last_write = "", 0.0
    begun, first = 0.0, 0.0  # since when, and from which fraction on, the pace is known

    def report(stage: str, fraction: float, **facts: Any) -> None:
        nonlocal last_stage, begun, first, last_write
        now = time.monotonic()
        if stage == last_stage and now - last_write < every:
            return
        if stage != last_stage or not first:
            # What comes before the first piece of work, such as compiling, comes once and tells nothing of the rest.
            begun, first = now, fraction
        last_stage, last_write = stage, now
        left = round((now - begun) * (1 - fraction) / (fraction - first), 1) if fraction > first else None
        progress = {"stage": stage, "fraction": round(fraction, 4), **facts, "eta_seconds": left}
        # Progress is a courtesy: work goes on, and the last transaction tells.
        write_or_go_on(services, job, lambda tx: leases.report(tx, job.job_id, job.fence, progress), what="progress")

    return report


def _completer(services: Services, job: Job) -> Callable[[Connection, dict[str, Any]], None]:
    """Return ``complete(tx, result)``: success becomes part of the caller's own transaction, or none of it is."""

    def complete(tx: Connection, result: dict[str, Any]) -> None:
        if not leases.succeed(tx, job.job_id, job.fence, result, now=services.now(tx)):
            raise WorkerLost("The lease on the job is lost.", job_id=job.job_id)

    return complete


def _fail(services: Services, job: Job, error: Exception) -> int:
    """Put a failure into words that a client may read, and write them into the job."""
    with structlog.contextvars.bound_contextvars(job_id=job.job_id, ticker=job.ticker):
        told = _told(error)
        with services.database.write() as tx:
            state = leases.fail(tx, job.job_id, job.fence, told, now=services.now(tx))
        if state == "queued":
            log.warning("job will be tried again", code=told.code)
    return 0 if state else TRY_AGAIN


def _told(error: Exception) -> AppError:
    if isinstance(error, AppError):
        log.warning("job not done", **error.to_problem())
        return error
    if isinstance(error, MemoryError):
        log.error("out of memory", exc_info=error)
        return WorkerLost("The job ran out of memory.")
    log.error("job crashed", exc_info=error)
    kind = type(error).__name__
    return JobCrashed(f"The job failed unexpectedly ({kind}); the worker's log has more.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
