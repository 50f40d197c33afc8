"""What one look at the registry sees, and what has changed since the look before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.api.job_documents import job_body
from app.domain.job import Job
from app.errors import AppError
from app.forecasting.services import Services
from app.jobs import queries
from app.registry import editions

OVERLAP = timedelta(seconds=20)
"""How much later than its ``finished_at``, by the registry's clock, a job may be seen to be over: commits take time."""
MOST_ENDED = 1000
"""Of jobs that are over, how many at most anybody is told of at once: those that ended last."""

Read = Callable[[Connection], Sequence[Job]]


@dataclass(frozen=True)
class News:
    """A job as a look saw it; its document is written once for each prefix, however many want it."""

    job: Job
    _written: dict[str, Written] = field(default_factory=dict, compare=False)

    def written(self, root_path: str) -> Written:
        """Return the document for who reaches the service behind the prefix ``root_path``."""
        if root_path not in self._written:
            body = job_body(self.job, root_path)
            self._written[root_path] = Written(body.decode(), hashlib.sha256(body).hexdigest()[:16])
        return self._written[root_path]


@dataclass(frozen=True)
class Written:
    """A job's document as one line of JSON, and the id of exactly this document."""

    text: str
    id: str


@dataclass(frozen=True, kw_only=True)
class Sight:
    """The registry at one moment: the edition and the jobs that wait or run.

    ``moment`` is by the registry's clock, not later than what was seen. ``changed`` are the jobs, over or not, that
    differ from the look before, and ``ended`` the ids of those that ended lately. ``also`` is what was read besides,
    or why not.
    """

    edition: int
    moment: datetime
    marks: Mapping[str, queries.Mark]
    active: Mapping[str, News]
    ended: frozenset[str]
    changed: Sequence[News]
    also: Sequence[Sequence[News] | AppError]


def look(
    services: Services, before: Sight | None, *, also: Sequence[Read] = (), root_paths: Collection[str] = ()
) -> Sight:
    """Look at the registry; only jobs that have changed are read in full, and what each of ``also`` reads besides.

    The documents of what is new are written for ``root_paths``, so that who tells them need not.

    Raises:
        StoreUnavailable: the registry does not answer; look again later.
    """
    with services.database.read() as tx:
        moment = services.now(tx)
        # What ended since the look before, however long ago that was, and though the clock has been set back.
        since = min(moment, before.moment if before else moment) - OVERLAP
        edition, marks = editions.current(tx), queries.active_marks(tx)
        ended = frozenset(queries.ended_since(tx, since))
        changed = _news(queries.get_many(tx, _changed(before, marks, ended)))
        besides = [_read(tx, one) for one in also]
    known = before.active if before else {}
    new = {one.job.job_id: one for one in changed}
    active = {job_id: new.get(job_id) or known[job_id] for job_id in marks}
    some = [one for one in besides if not isinstance(one, AppError)]
    _write([changed, *some, *([active.values()] if also else [])], root_paths)
    return Sight(edition=edition, moment=moment, marks=marks, active=active, ended=ended, changed=changed, also=besides)


def _changed(before: Sight | None, marks: Mapping[str, queries.Mark], ended: frozenset[str]) -> set[str]:
    """Return the ids of the jobs to be read: new or changed ones, those that are gone, those that came and went."""
    if before is None:
        return set(marks)
    known = before.marks
    others = {job_id for job_id, mark in marks.items() if known.get(job_id) != mark}
    return others | (known.keys() - marks.keys()) | (ended - before.ended)


def _read(tx: Connection, also: Read) -> list[News] | AppError:
    try:
        return _news(also(tx))
    except AppError as error:
        return error


def _news(jobs: Iterable[Job]) -> list[News]:
    """Put the jobs in order: those that are over, as they ended, then the others, as they came."""
    order = sorted(jobs, key=lambda job: (not job.is_over, job.finished_at or job.created_at, job.job_id))
    return [News(job) for job in order]


def _write(parts: Iterable[Iterable[News]], root_paths: Collection[str]) -> None:
    for news in parts:
        for one in news:
            for root_path in root_paths:
                one.written(root_path)
