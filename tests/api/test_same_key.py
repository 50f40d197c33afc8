"""Two requests under one idempotency key, at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Barrier, BrokenBarrierError

from sqlalchemy import Connection

from app.api.submission import Once, Queued, answer_once
from app.db.engine import Database
from app.forecasting.services import Services
from app.jobs import queries
from app.jobs.submission import submit
from tests.api.rows import NOW
from tests.db.databases import database, database_url, migrated_file, migrated_schema

__all__ = ["database", "database_url", "migrated_file", "migrated_schema"]


def test_both_get_the_answer_of_the_first_and_only_its_work_is_done(services: Services, database: Database) -> None:
    shared = replace(services, database=database)
    at_it = Barrier(2)

    def work_of(name: str) -> Queued:
        def work(tx: Connection) -> Queued:
            job, _ = submit(tx, kind="train", ticker=name, payload={}, dedupe=name, now=NOW)
            with suppress(BrokenBarrierError):  # SQLite lets in one at a time
                at_it.wait(timeout=1)
            return {"by": name}, [job]

        return answer_once(Once(key="k", principal="p", fingerprint="f"), work, services=shared)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work_of, ["AAA", "BBB"])
    (answer, fresh), (other, others) = first, second
    assert answer == other
    with database.read() as tx:
        (job,) = queries.list_jobs(tx, limit=9)
    assert job.ticker == answer["by"]
    assert [queued.job_id for queued in fresh + others] == [job.job_id], "nobody is told of a job that came to nothing"
