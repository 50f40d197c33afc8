"""A model store that takes nothing from this host: who would spoil one job after the other lets others go first."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog

from app.domain.job import Job
from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.jobs import queries

_CODE = "store_unavailable"
_LOOK_SECONDS = 2.0
_LONGEST_SECONDS = 600.0  # refreshes store nothing there

log = structlog.get_logger(__name__)


def await_store(services: Services, jobs: Sequence[Job], *, stop: threading.Event) -> None:
    """Return at once, but when one of the ``jobs`` just done ended for want of a store, once bundles can be stored.

    That is, from here; or when ``stop`` is set, or after ten minutes.
    """
    if not _wanted_one(services, jobs):
        return
    deadline, has_said = time.monotonic() + _LONGEST_SECONDS, False
    while not stop.is_set() and time.monotonic() < deadline:
        try:
            services.artifacts.check_writable()
        except StoreUnavailable as error:
            if not has_said:
                log.warning("worker waits for the model store", reason=error.detail)
            has_said = True
            stop.wait(_LOOK_SECONDS)
        else:
            return


def _wanted_one(services: Services, jobs: Sequence[Job]) -> bool:
    try:
        with services.database.read() as tx:
            errors = [job.error for job in queries.get_many(tx, [job.job_id for job in jobs])]
    except StoreUnavailable:  # the registry, which is waited for elsewhere
        return False
    return any(error is not None and error["code"] == _CODE for error in errors)
