from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import Conflict, IdempotencyMismatch
from app.jobs.leases import claim, request_cancel, succeed
from app.jobs.queries import get, list_jobs
from app.jobs.submission import remember, replay, submit
from tests.jobs.orders import NOON, after, queue, take

SUBMIT = """
import sys
from datetime import UTC, datetime
from app.db.engine import Database
from app.jobs.submission import submit
database = Database(sys.argv[1])
for _ in range(12):
    with database.write() as tx:
        job, _ = submit(tx, kind="train", ticker="AAPL", payload={}, dedupe="same", now=datetime.now(UTC))
    print(job.job_id)
database.close()
"""


def test_a_new_job_waits_in_the_queue_with_what_was_asked(database):
    with database.write() as tx:
        job, deduplicated = submit(
            tx,
            kind="train",
            ticker="AAPL",
            payload={"spec": {"window": 60}},
            dedupe="work",
            priority=5,
            max_attempts=2,
            submitted_by="key-1",
            now=NOON,
        )
    with database.read() as tx:
        assert get(tx, job.job_id) == job
    assert not deduplicated
    assert (job.state, job.kind, job.ticker, job.payload) == ("queued", "train", "AAPL", {"spec": {"window": 60}})
    assert (job.priority, job.attempt, job.max_attempts, job.fence) == (5, 0, 2, 0)
    assert (job.created_at, job.started_at, job.finished_at) == (NOON, None, None)
    assert (job.submitted_by, job.cancel_requested, job.progress, job.result, job.error) == (
        "key-1",
        False,
        *[None] * 3,
    )


@pytest.mark.parametrize("running", [False, True])
def test_the_same_work_is_not_queued_twice_while_it_is_active(database, running):
    with database.write() as tx:
        first = queue(tx)
        if running:
            take(tx)
        again, deduplicated = submit(tx, kind="train", ticker="AAPL", payload={"other": 1}, dedupe="work", now=after(1))
    assert deduplicated
    assert again.job_id == first.job_id
    assert again.payload == first.payload


def test_the_same_order_is_other_work_for_another_kind_of_job(database):
    with database.write() as tx:
        trained = queue(tx)
        judged = queue(tx, kind="backtest")
    assert judged.job_id != trained.job_id


@pytest.mark.parametrize("end", ["succeeded", "cancelled"])
def test_the_same_work_may_be_done_again_once_it_is_over(database, end):
    with database.write() as tx:
        first = queue(tx)
        if end == "succeeded":
            job = take(tx)
            assert succeed(tx, job.job_id, job.fence, {}, now=NOON)
        else:
            request_cancel(tx, first.job_id, now=NOON)
        assert queue(tx).job_id != first.job_id


def test_fifty_threads_that_submit_the_same_get_one_job(database):
    def hand_in(_: int) -> tuple[str, bool]:
        with database.write() as tx:
            job, deduplicated = submit(tx, kind="train", ticker="AAPL", payload={}, dedupe="same", now=NOON)
        return job.job_id, deduplicated

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(hand_in, range(50)))
    assert len({job_id for job_id, _ in answers}) == 1
    assert [deduplicated for _, deduplicated in answers].count(False) == 1
    with database.read() as tx:
        assert len(list_jobs(tx, limit=10)) == 1


@pytest.mark.slow
def test_processes_that_submit_the_same_get_one_job(database, database_url):
    command = [sys.executable, "-c", SUBMIT, database_url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert len(answers) == 48
    assert len(set(answers)) == 1


def test_a_key_seen_for_the_first_time_has_no_answer(database):
    with database.read() as tx:
        assert replay(tx, key="k", principal="p", fingerprint="f", now=NOON) is None


def test_the_same_key_and_payload_replay_the_first_answer(database):
    answer = {"job_id": "x", "items": [1.5, None]}
    with database.write() as tx:
        remember(tx, key="k", principal="p", fingerprint="f", answer=answer, now=NOON)
    with database.read() as tx:
        assert replay(tx, key="k", principal="p", fingerprint="f", now=after(86_399)) == answer


def test_the_same_key_with_another_payload_is_refused(database):
    with database.write() as tx:
        remember(tx, key="k", principal="p", fingerprint="f", answer={}, now=NOON)
        with pytest.raises(IdempotencyMismatch) as caught:
            replay(tx, key="k", principal="p", fingerprint="g", now=NOON)
    assert json.loads(json.dumps(caught.value.to_problem()))["key"] == "k"


def test_keys_of_different_principals_do_not_meet(database):
    with database.write() as tx:
        remember(tx, key="k", principal="p", fingerprint="f", answer={"of": "p"}, now=NOON)
        assert replay(tx, key="k", principal="q", fingerprint="g", now=NOON) is None
        remember(tx, key="k", principal="q", fingerprint="g", answer={"of": "q"}, now=NOON)
        assert replay(tx, key="k", principal="p", fingerprint="f", now=NOON) == {"of": "p"}


def test_a_key_is_free_again_after_24_hours(database):
    with database.write() as tx:
        remember(tx, key="k", principal="p", fingerprint="f", answer={"n": 1}, now=NOON)
        assert replay(tx, key="k", principal="p", fingerprint="g", now=after(86_400)) is None
        remember(tx, key="k", principal="p", fingerprint="g", answer={"n": 2}, now=after(86_400))
        assert replay(tx, key="k", principal="p", fingerprint="g", now=after(86_400)) == {"n": 2}


def test_of_two_requests_with_one_key_the_second_is_told_and_nothing_of_it_stays(database):
    with database.write() as tx:
        remember(tx, key="k", principal="p", fingerprint="f", answer={"n": 1}, now=NOON)
    with pytest.raises(Conflict), database.write() as tx:
        queue(tx)
        remember(tx, key="k", principal="p", fingerprint="f", answer={"n": 2}, now=NOON)
    with database.write() as tx:
        assert replay(tx, key="k", principal="p", fingerprint="f", now=NOON) == {"n": 1}
        assert claim(tx, owner="worker", lease_seconds=30, now=NOON) is None
