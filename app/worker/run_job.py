"""``python -m app.worker.run_job JOB_ID FENCE``: the fresh process that one claimed job runs in."""

from __future__ import annotations

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
from app.worker.courtesy import write_or_go_on
from app.worker.handlers import HANDLERS, Handler
from app.worker.parentage import follow_parent
from app.worker.runner import TRY_AGAIN

_REPORT_SECONDS = 0.5

log = structlog.get_logger(__name__)


def main(arguments: Sequence[str], *, handlers: Mapping[str, Handler] = HANDLERS) -> int:
    """Do one claimed job and write its end; return the exit code.

    0: the job's row says how it ended. ``TRY_AGAIN``: the row could not be written, or is not ours.
    """
    follow_parent()
    job_id, fence = arguments[0], int(arguments[1])
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(job_id=job_id)
    try:
        services = open_services(settings)
        with services.database.read() as tx:
            job = queries.get(tx, job_id)
        if job.state != "running" or job.fence != fence:
            log.warning("job is not ours", state=job.state, fence=job.fence, ours=fence)
            return TRY_AGAIN
        structlog.contextvars.bind_contextvars(ticker=job.ticker)
        return _work(services, job, handlers[job.kind])
    except StoreUnavailable as error:
        log.error("registry away", **error.to_problem())
        return TRY_AGAIN


def _work(services: Services, job: Job, handle: Handler) -> int:
    """Run the handler and put its failure, if any, into words that a client may read."""
    try:
        handle(job, services=services, report=progress_reporter(services, job), complete=_completer(services, job))
    except AppError as error:
        log.warning("job not done", **error.to_problem())
        return _fail(services, job, error)
    except MemoryError:
        log.exception("out of memory")
        return _fail(services, job, WorkerLost("The job ran out of memory."))
    except Exception as error:
        log.exception("job crashed")
        kind = type(error).__name__
        return _fail(services, job, JobCrashed(f"The job failed unexpectedly ({kind}); the worker's log has more."))
    return 0


def progress_reporter(services: Services, job: Job) -> Callable[..., None]:
    """Return ``report(stage, fraction, **facts)``: a change of stage is written at once, the rest twice a second.

    Raises (the returned function):
        WorkerLost: the lease is lost; let it pass, nothing of this attempt counts any more.
    """
    last_stage, begun, last_write = "", 0.0, -_REPORT_SECONDS

    def report(stage: str, fraction: float, **facts: Any) -> None:
        nonlocal last_stage, begun, last_write
        now = time.monotonic()
        if stage == last_stage and now - last_write < _REPORT_SECONDS:
            return
        begun = now if stage != last_stage else begun
        last_stage, last_write = stage, now
        left = round((now - begun) * (1 - fraction) / fraction, 1) if fraction else None
        progress = {"stage": stage, "fraction": round(fraction, 4), **facts, "eta_seconds": left}
        # Progress is a courtesy: work goes on, and the last transaction tells.
        write_or_go_on(services, job, lambda tx: leases.report(tx, job.job_id, job.fence, progress), what="progress")

    return report


def _completer(services: Services, job: Job) -> Callable[[Connection, dict[str, Any]], None]:
    """Return ``complete(tx, result)``: success becomes part of the caller's own transaction, or none of it is."""

    def complete(tx: Connection, result: dict[str, Any]) -> None:
        if not leases.succeed(tx, job.job_id, job.fence, result, now=services.clock()):
            raise WorkerLost("The lease on the job is lost.", job_id=job.job_id)

    return complete


def _fail(services: Services, job: Job, error: AppError) -> int:
    with services.database.write() as tx:
        state = leases.fail(tx, job.job_id, job.fence, error, now=services.clock())
    log.info("failure written", state=state)
    return 0 if state else TRY_AGAIN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
