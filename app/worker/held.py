"""The jobs of one child that this worker still holds: their leases renewed, each let go alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Connection

from app.domain.job import Job
from app.errors import NoSuchJob, StoreUnavailable
from app.forecasting.services import Services
from app.jobs import leases, queries

log = structlog.get_logger(__name__)


class HeldJobs:
    """Begins with all jobs of a child; ``endings`` says of each that is no longer held how it ended.

    ``exited``: by its own word. ``returned``: it waits again, by its child's word or because its lease ran out.
    ``cancelled``: as was asked for. ``lost``: another worker has it.
    """

    def __init__(self, services: Services, jobs: Sequence[Job]) -> None:
        self._services = services
        self._held = {job.job_id: job for job in jobs}
        self.endings: dict[str, str] = {}

    @property
    def jobs(self) -> list[Job]:
        """The jobs still held."""
        return list(self._held.values())

    def overdue(self, seconds: float) -> list[Job]:
        """Return those that may not be worked on for as long as ``seconds``, the time that their child has had."""
        return [job for job in self.jobs if seconds > self.limit_of(job)]

    def limit_of(self, job: Job) -> float:
        """Return how long the job may be worked on, in seconds."""
        return float(job.payload.get("timeout_seconds") or self._services.settings.job_timeout_seconds)

    def heartbeat(self) -> None:
        """Renew all leases, and let go of the jobs that are over, lost or to be cancelled.

        Others go on: the child learns from its next report that nothing of the job counts any more.
        """
        try:
            with self._services.database.write() as tx:
                endings = {job.job_id: ending for job in self.jobs if (ending := self._beat(tx, job))}
        except StoreUnavailable as error:
            # Nobody else can claim them either while the registry is away: the fence decides afterwards.
            log.warning("heartbeat failed", job_ids=list(self._held), reason=error.detail)
            return
        for job_id, ending in endings.items():
            self.let_go(job_id, ending)

    def let_go(self, job_id: str, ending: str) -> None:
        """Hold the job no longer, and log what became of it."""
        job = self._held.pop(job_id)
        self.endings[job_id] = ending
        facts = {"job_id": job_id, "kind": job.kind, "ticker": job.ticker, "ending": ending}
        try:
            with self._services.database.read() as tx:
                row = queries.get(tx, job_id)
        except (StoreUnavailable, NoSuchJob) as error:
            log.info("job left", **facts, reason=error.detail)
            return
        if row.is_over and row.fence == job.fence:
            log.info("job ended", **facts, state=row.state, **_outcome(row))
        else:
            log.info("job left", **facts, state=row.state)

    def _beat(self, tx: Connection, job: Job) -> str | None:
        settings, now = self._services.settings, self._services.now(tx)
        cancel = leases.heartbeat(tx, job.job_id, job.fence, lease_seconds=settings.lease_seconds, now=now)
        if cancel is None:
            row = queries.get(tx, job.job_id)
            if row.fence != job.fence:
                log.warning("lease lost", job_id=job.job_id, fence=job.fence)
                return "lost"
            return "exited" if row.is_over else "returned"
        if not cancel:
            return None
        leases.cancelled(tx, job.job_id, job.fence, now=now)
        return "cancelled"


def _outcome(job: Job) -> dict[str, Any]:
    """What an ended job came to, in a few words: the version, or the error's code."""
    if job.state == "failed" and job.error:
        return {"code": job.error["code"]}
    result = job.result or {}
    return {name: result[name] for name in ("version", "promoted") if "version" in result and name in result}
