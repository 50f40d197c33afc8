"""The jobs of one child that this worker still holds: their leases renewed, their time counted, each let go alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from app.domain.job import Job
from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.jobs import leases, queries

log = structlog.get_logger(__name__)


@dataclass
class _Watched:
    """A held job, its time limit, and what it has used of it: the child's seconds, shared by all at work."""

    job: Job
    limit: float
    seconds: float = 0.0
    has_begun: bool = False


class HeldJobs:
    """Begins with all jobs of a child; ``endings`` says of each that is no longer held how it ended.

    ``exited``: by its own word. ``cancelled``: as was asked for. ``lost``: another worker has it.
    """

    def __init__(self, services: Services, jobs: Sequence[Job]) -> None:
        self._services = services
        self._held = {job.job_id: _Watched(job, _time_limit(job, services)) for job in jobs}
        self.endings: dict[str, str] = {}

    @property
    def jobs(self) -> list[Job]:
        """The jobs still held."""
        return [one.job for one in self._held.values()]

    @property
    def at_work(self) -> list[Job]:
        """Those that the child works on: whichever it has begun, before its first report the first."""
        return [one.job for one in self._at_work()]

    @property
    def overdue(self) -> list[Job]:
        """Those that have used up their time."""
        return [one.job for one in self._held.values() if one.seconds > one.limit]

    def limit_of(self, job: Job) -> float:
        """Return how long the job may be worked on, in seconds."""
        return self._held[job.job_id].limit

    def charge(self, seconds: float) -> None:
        """Share out the child's last ``seconds`` among the jobs that it works on."""
        working = self._at_work()
        for one in working:
            one.seconds += seconds / len(working)

    def heartbeat(self) -> None:
        """Renew all leases, and let go of the jobs that are over, lost or to be cancelled.

        Others go on: the child learns from its next report that nothing of the job counts any more.
        """
        try:
            with self._services.database.write() as tx:
                endings = {job.job_id: ending for job in self.jobs if (ending := self._beat(tx, job))}
                begun = queries.begun(tx, [job.job_id for job in self.jobs])
        except StoreUnavailable as error:
            # Nobody else can claim them either while the registry is away: the fence decides afterwards.
            log.warning("heartbeat failed", job_ids=list(self._held), reason=error.detail)
            return
        for job_id in begun:
            self._held[job_id].has_begun = True
        for job_id, ending in endings.items():
            self.let_go(job_id, ending)

    def let_go(self, job_id: str, ending: str) -> None:
        """Hold the job no longer."""
        if ending == "lost":
            log.warning("lease lost", job_id=job_id, fence=self._held[job_id].job.fence)
        del self._held[job_id]
        self.endings[job_id] = ending

    def _at_work(self) -> list[_Watched]:
        held = list(self._held.values())
        return [one for one in held if one.has_begun] or held[:1]

    def _beat(self, tx: Connection, job: Job) -> str | None:
        settings, now = self._services.settings, self._services.clock()
        cancel = leases.heartbeat(tx, job.job_id, job.fence, lease_seconds=settings.lease_seconds, now=now)
        if cancel is None:
            row = queries.get(tx, job.job_id)
            return "exited" if row.is_over and row.fence == job.fence else "lost"
        if not cancel:
            return None
        leases.cancelled(tx, job.job_id, job.fence, now=now)
        return "cancelled"


def _time_limit(job: Job, services: Services) -> float:
    return float(job.payload.get("timeout_seconds") or services.settings.job_timeout_seconds)
