"""What is seen from outside while processes die: ends of jobs, forecasts as issued, and how soon lost work goes on."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Text, cast, select

from app.db import tables
from app.errors import StoreUnavailable

_JOBS, _FORECASTS = tables.jobs.c, tables.forecasts.c
_COLUMNS = [_JOBS[name] for name in ("job_id", "dedupe", "state", "fence", "lease_owner", "attempt", "finished_at")]
_OVER = ("succeeded", "failed", "cancelled")


def all_jobs(services):
    with services.database.read() as tx:
        return {row.job_id: row for row in tx.execute(select(*_COLUMNS, _JOBS.result, _JOBS.error))}


def all_forecasts(services):
    """Every forecast as the text that it is kept as."""
    with services.database.read() as tx:
        return dict(tx.execute(select(_FORECASTS.forecast_id, cast(_FORECASTS.body, Text))).all())


@dataclass
class Loss:
    """An attempt whose worker was killed.

    ``witnesses`` are the workers that have lived ever since ``since``: the death of its own worker, or where all who
    lived then were killed too, the death of the last of them. ``taken`` is when its job was another's, queued or over,
    ``resumed`` when it ran again or was over.
    """

    job_id: str
    fence: int
    kind: str
    died_at: float
    since: float
    witnesses: set[int]
    taken: float | None = None
    resumed: float | None = None

    def note_death(self, *, before, after, at):
        """Of the workers that lived ``before`` a kill, those live ``after`` it."""
        if self.taken is not None:
            return
        self.witnesses = (self.witnesses or before) & after
        if not self.witnesses:
            self.since, self.witnesses = at, after

    def look(self, row, *, at):
        if self.taken is None and (row.state != "running" or row.fence > self.fence):
            self.taken = at
        if row.state in _OVER or (row.state == "running" and row.fence > self.fence):
            self.resumed = at


class Watch(threading.Thread):
    """Looks ten times a second; ``wrong`` has everything that must never show.

    ``hit`` are the attempts that a kill has ended, or may have: ``(job id, fence)``. ``losses`` are those of killed
    workers, ``pending`` those of them that nobody has resumed.
    """

    def __init__(self, services):
        super().__init__(daemon=True)
        self._services = services
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.ends, self.issued = {}, {}
        self.wrong, self.losses, self.pending = [], [], []
        self.hit = set()

    def run(self):
        while not self._over.wait(0.1):
            try:
                self._look()
            except StoreUnavailable as error:
                self.wrong.append(f"a read failed: {error}")

    def close(self):
        self._over.set()
        self.join()
        self._look()

    def running(self, owners):
        """What the workers of these ids run: ``{(job id, fence)}``."""
        with self._services.database.read() as tx:
            found = tx.execute(select(*_COLUMNS).where(_JOBS.state == "running", _JOBS.lease_owner.in_(owners))).all()
        return {(row.job_id, row.fence) for row in found}

    def note_deaths(self, kind, attempts, *, before, after):
        """Workers were killed just now that held these ``attempts``: of those (pids) ``before``, ``after`` are left."""
        at = time.monotonic()
        with self._lock:
            for loss in self.pending:
                loss.note_death(before=before, after=after, at=at)
            known = {(loss.job_id, loss.fence) for loss in self.losses}
            fresh = [Loss(*attempt, kind, at, at, set(after)) for attempt in sorted(attempts - known)]
            self.losses += fresh
            self.pending += fresh

    def _look(self):
        with self._services.database.read() as tx:
            rows = tx.execute(select(*_COLUMNS, _JOBS.result)).all()
            known = list(self.issued)[-1:]
            fresh = select(_FORECASTS.forecast_id, cast(_FORECASTS.body, Text)).order_by(_FORECASTS.issued_at.desc())
            newest = tx.execute(fresh.limit(20) if known else fresh).all()
        for forecast_id, body in newest:
            if self.issued.setdefault(forecast_id, body) != body:
                self.wrong.append(f"forecast {forecast_id} was altered")
        self._look_at_ends(rows)
        self._look_at_lost({row.job_id: row for row in rows})

    def _look_at_ends(self, rows):
        for row in rows:
            if row.state in _OVER:
                end = (row.state, row.finished_at, row.fence, json.dumps(row.result, sort_keys=True))
                if self.ends.setdefault(row.job_id, end) != end:
                    self.wrong.append(f"{row.job_id} ended twice: {self.ends[row.job_id]}, {end}")
        active = Counter(row.dedupe for row in rows if row.state not in _OVER)
        self.wrong += [f"{count} active jobs of {work}" for work, count in active.items() if count > 1]

    def _look_at_lost(self, rows):
        with self._lock:
            at = time.monotonic()
            for loss in self.pending:
                loss.look(rows[loss.job_id], at=at)
            self.pending = [loss for loss in self.pending if loss.resumed is None]
