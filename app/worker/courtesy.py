"""Writes beside the work: a registry that is away costs them, a lost lease ends the work."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy import Connection

from app.domain.job import Job
from app.errors import StoreUnavailable, WorkerLost
from app.forecasting.services import Services

log = structlog.get_logger(__name__)


def write_or_go_on(services: Services, job: Job, write: Callable[[Connection], bool], *, what: str) -> None:
    """Write ``what`` by ``write(tx)``, which tells whether the lease still holds; without a registry go on.

    Raises:
        WorkerLost: the lease is lost; let it pass, nothing of this attempt counts any more.
    """
    try:
        with services.database.write() as tx:
            ours = write(tx)
    except StoreUnavailable as error:
        log.warning(f"{what} not written", reason=error.detail)
        return
    if not ours:
        raise WorkerLost("The lease on the job is lost.", job_id=job.job_id)
