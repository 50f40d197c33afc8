"""Whether requests can be served: what everybody may ask as often as they like, and what is looked at once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from starlette.concurrency import run_in_threadpool

from app.api.readings import WORKER_SILENT_SECONDS
from app.db.engine import sqlite_notice
from app.errors import AppError
from app.forecasting.services import Services
from app.jobs.fleet import alive

KEPT_SECONDS = 1.0
"""For how long what was found is the answer."""
_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``detail`` is not for everybody: it may tell of addresses and versions."""

    name: str
    ok: bool
    detail: str


class Readiness:
    """Looks at the database and the stores when somebody asks, not more often than every ``KEPT_SECONDS``."""

    def __init__(self, services: Services, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._found: Sequence[Check] = ()
        self._kept_until = float("-inf")
        self._one_looks = asyncio.Lock()

    async def checks(self) -> Sequence[Check]:
        """Return what was found; all who come while somebody looks wait for that look."""
        async with self._one_looks:
            if self._clock() >= self._kept_until:
                before, self._found = self._found, await run_in_threadpool(self._look)
                self._kept_until = self._clock() + KEPT_SECONDS
                for check in self._found:
                    if not check.ok and check not in before:
                        _LOG.warning("not_ready", check=check.name, reason=check.detail)
            return self._found

    def _look(self) -> Sequence[Check]:
        return [_check(name, look, self._services) for name, look in _CHECKS.items()]


def _check(name: str, look: Callable[[Services], str], services: Services) -> Check:
    try:
        return Check(name, ok=True, detail=look(services))
    except AppError as error:
        return Check(name, ok=False, detail=error.detail)
    except Exception:  # a table that somebody changed, say: that is an answer too
        _LOG.exception("check_failed", check=name)
        return Check(name, ok=False, detail="The check itself failed; the log says how.")


def _database(services: Services) -> str:
    if not services.database.revision_ok():
        raise AppError("The schema is not this program's; start it again to upgrade, or use a newer one.")
    notice = sqlite_notice() if services.database.dialect == "sqlite" else None
    return f"{services.database.dialect}, schema up to date." + (f" {notice}" if notice else "")


def _models_store(services: Services) -> str:
    services.artifacts.check_writable()
    return "Writable."


def _workers(services: Services) -> str:
    with services.database.read() as tx:
        count = len(alive(tx, now=services.now(tx), within_seconds=WORKER_SILENT_SECONDS))
    return f"{count} alive." if count else "None alive: jobs wait until one starts."


_CHECKS: dict[str, Callable[[Services], str]] = {
    "database": _database,
    "models_store": _models_store,
    "workers": _workers,
}
