"""What an attempt leaves for the next one."""

from __future__ import annotations

from alembic import command
from sqlalchemy import inspect, text

from app.db.engine import Database
from app.db.migrate import _config
from app.errors import SourceUnavailable
from app.jobs.leases import cancelled, checkpoint_of, fail, keep_checkpoint, reap, release, report, succeed
from tests.jobs.orders import NOON, after, queue, take

KEPT = {"seconds": 1.5, "trials": [{"value": 0.25, "params": {"units": 1}}]}


def test_a_checkpoint_outlives_the_attempt_but_its_progress_does_not(database):
    with database.write() as tx:
        queue(tx)
        job = take(tx, lease_seconds=30)
        assert checkpoint_of(tx, job.job_id) is None
        assert report(tx, job.job_id, job.fence, {"fraction": 0.5})
        assert keep_checkpoint(tx, job.job_id, job.fence, KEPT)
        assert reap(tx, now=after(31)) == [job.job_id]
        assert checkpoint_of(tx, job.job_id) == KEPT
        again = take(tx, now=after(31))
        assert (again.attempt, again.progress, checkpoint_of(tx, job.job_id)) == (2, None, KEPT)


def test_a_failure_and_a_stop_keep_the_checkpoint_too(database):
    with database.write() as tx:
        job_id = queue(tx).job_id
        job = take(tx)
        keep_checkpoint(tx, job_id, job.fence, KEPT)
        assert release(tx, job_id, job.fence, now=after(1))
        job = take(tx, now=after(1))
        assert checkpoint_of(tx, job_id) == KEPT
        assert fail(tx, job_id, job.fence, SourceUnavailable("away"), now=after(2)) == "queued"
        assert checkpoint_of(tx, job_id) == KEPT


def test_whoever_lost_the_lease_keeps_nothing(database):
    with database.write() as tx:
        job_id = queue(tx).job_id
        stale = take(tx, lease_seconds=30)
        reap(tx, now=after(31))
        fresh = take(tx, now=after(31))
        assert not keep_checkpoint(tx, job_id, stale.fence, {"seconds": 99})
        assert checkpoint_of(tx, job_id) is None
        assert keep_checkpoint(tx, job_id, fresh.fence, KEPT)


def test_a_job_that_is_over_has_nothing_to_go_on_from(database):
    with database.write() as tx:
        for end in (
            lambda job: succeed(tx, job.job_id, job.fence, {}, now=NOON),
            lambda job: cancelled(tx, job.job_id, job.fence, now=NOON),
        ):
            queue(tx)
            job = take(tx)
            keep_checkpoint(tx, job.job_id, job.fence, KEPT)
            assert end(job)
            assert checkpoint_of(tx, job.job_id) is None


def test_a_number_that_json_does_not_know_is_kept_as_nothing(database):
    with database.write() as tx:
        job_id = queue(tx).job_id
        job = take(tx)
        assert keep_checkpoint(tx, job_id, job.fence, {"loss": float("nan")})
        assert checkpoint_of(tx, job_id) == {"loss": None}


def test_jobs_of_the_revision_before_are_still_there_and_the_way_back_is_open(empty_url):
    database = Database(empty_url)
    with database.write() as tx:
        config = _config()
        config.attributes["connection"] = tx
        command.upgrade(config, "0001")
        tx.execute(text(
            "INSERT INTO jobs (job_id, kind, state, payload, dedupe, priority, attempt, max_attempts, fence, run_after,"
            " cancel_requested, submitted_by, created_at) VALUES ('a', 'train', 'queued', '{}', 'd', 0, 0, 3, 0,"
            " '2026-11-20 12:00:00', false, 'me', '2026-11-20 12:00:00')"
        ))  # fmt: skip
    database.upgrade()
    with database.write() as tx:
        assert checkpoint_of(tx, "a") is None
        config.attributes["connection"] = tx
        command.downgrade(config, "0001")
        assert "checkpoint" not in {column["name"] for column in inspect(tx).get_columns("jobs")}
        assert tx.execute(text("SELECT job_id FROM jobs")).scalars().all() == ["a"]
    database.close()
