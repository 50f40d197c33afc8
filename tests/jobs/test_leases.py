from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import FitDiverged, JobAlreadyOver, NoSuchJob, SourceRateLimited, SourceUnavailable
from app.jobs.leases import cancelled, claim, fail, heartbeat, reap, release, report, request_cancel, succeed
from app.jobs.queries import get
from app.jobs.retry import next_attempt_at
from tests.jobs.orders import NOON, after, queue, take

OUTAGE = SourceUnavailable("Yahoo did not answer.", ticker="AAPL", loss=float("nan"))


def test_an_empty_queue_gives_nothing(database):
    with database.write() as tx:
        assert claim(tx, owner="worker", lease_seconds=30, now=NOON) is None


def test_a_claimed_job_runs_under_a_new_fence(database):
    with database.write() as tx:
        queued = queue(tx)
        job = take(tx, now=after(5))
        assert claim(tx, owner="other", lease_seconds=30, now=after(5)) is None
    assert (job.job_id, job.state, job.attempt, job.fence) == (queued.job_id, "running", 1, 1)
    assert job.started_at == after(5)


def test_the_most_urgent_job_goes_first_then_the_oldest(database):
    with database.write() as tx:
        for name, priority, created in (("a", 0, 2), ("b", 0, 1), ("c", 9, 3), ("d", -1, 0), ("e", 9, 4)):
            queue(tx, name, priority=priority, now=after(created))
        order = [take(tx, now=after(10)).payload["of"] for _ in range(5)]
    assert order == ["c", "e", "b", "a", "d"]


def test_workers_that_claim_at_once_never_get_the_same_job(database):
    with database.write() as tx:
        for number in range(12):
            queue(tx, f"work {number}")

    def work(owner: int) -> list[str]:
        mine = []
        while True:
            with database.write() as tx:
                job = claim(tx, owner=f"worker {owner}", lease_seconds=30, now=NOON)
            if job is None:
                return mine
            mine.append(job.job_id)

    with ThreadPoolExecutor(4) as pool:
        claimed = [job_id for mine in pool.map(work, range(4)) for job_id in mine]
    assert len(claimed) == len(set(claimed)) == 12


def test_a_claim_on_postgres_steps_over_a_row_that_another_is_claiming(database):
    if database.dialect != "postgresql":
        with database.write() as tx:  # on SQLite there is one writer at a time: nothing to step over
            assert claim(tx, owner="worker", lease_seconds=30, now=NOON) is None
        return
    with database.write() as tx:
        queue(tx, "first")
        queue(tx, "second", now=after(1))
    with database.write() as one, database.write() as two:
        assert take(one, now=after(2)).payload["of"] == "first"
        assert take(two, now=after(2)).payload["of"] == "second"


def test_the_story_of_a_lost_lease(database):
    with database.write() as tx:
        queue(tx)
        stale = take(tx, lease_seconds=30)
        assert heartbeat(tx, stale.job_id, stale.fence, lease_seconds=30, now=after(20)) is False
        assert reap(tx, now=after(49)) == []
        assert reap(tx, now=after(51)) == [stale.job_id]
        waiting = get(tx, stale.job_id)
        assert (waiting.state, waiting.started_at, waiting.error["code"]) == ("queued", None, "worker_lost")
        again = after(51)
        fresh = take(tx, now=again, owner="other")
        assert (fresh.job_id, fresh.attempt, fresh.fence) == (stale.job_id, 2, 2)

        before = get(tx, stale.job_id)
        assert heartbeat(tx, stale.job_id, stale.fence, lease_seconds=30, now=again) is None
        assert not report(tx, stale.job_id, stale.fence, {"fraction": 0.9})
        assert not succeed(tx, stale.job_id, stale.fence, {"version": 1}, now=again)
        assert fail(tx, stale.job_id, stale.fence, OUTAGE, now=again) is None
        assert not cancelled(tx, stale.job_id, stale.fence, now=again)
        assert not release(tx, stale.job_id, stale.fence, now=again)
        assert get(tx, stale.job_id) == before

        assert report(tx, fresh.job_id, fresh.fence, {"fraction": 0.5})
        assert succeed(tx, fresh.job_id, fresh.fence, {"version": 1}, now=again)
        over = get(tx, fresh.job_id)
        assert (over.state, over.result, over.error, over.finished_at) == ("succeeded", {"version": 1}, None, again)
        assert over.progress == {"stage": "done", "fraction": 1.0}


def test_a_worker_that_wants_one_job_takes_no_other(database):
    with database.write() as tx:
        queue(tx, "older")
        mine = queue(tx, "mine", now=after(1)).job_id
        taken = claim(tx, owner="me", lease_seconds=30, now=after(2), only=mine)
        assert taken is not None and taken.job_id == mine
        assert claim(tx, owner="me", lease_seconds=30, now=after(2), only=mine) is None


def test_a_job_that_loses_its_worker_twice_waits_the_second_time(database):
    with database.write() as tx:
        job_id = queue(tx).job_id
        take(tx, lease_seconds=30)
        assert reap(tx, now=after(31)) == [job_id]
        take(tx, lease_seconds=30, now=after(31))
        assert reap(tx, now=after(62)) == [job_id]
        again = next_attempt_at(job_id, 2, now=after(62))
        assert claim(tx, owner="other", lease_seconds=30, now=after(63)) is None
        assert take(tx, now=again).attempt == 3


def test_a_job_that_is_over_cannot_be_written_by_its_own_worker(database):
    with database.write() as tx:
        queue(tx)
        job = take(tx)
        assert succeed(tx, job.job_id, job.fence, {}, now=NOON)
        assert heartbeat(tx, job.job_id, job.fence, lease_seconds=30, now=NOON) is None
        assert not succeed(tx, job.job_id, job.fence, {}, now=NOON)
        assert fail(tx, job.job_id, job.fence, OUTAGE, now=NOON) is None


def test_a_failure_that_may_pass_is_tried_again_until_the_attempts_are_used_up(database):
    with database.write() as tx:
        queue(tx, max_attempts=2)
        job = take(tx)
        assert fail(tx, job.job_id, job.fence, OUTAGE, now=NOON) == "queued"
        assert get(tx, job.job_id).error["code"] == "source_unavailable"
        later = next_attempt_at(job.job_id, 1, now=NOON)
        job = take(tx, now=later)
        assert fail(tx, job.job_id, job.fence, OUTAGE, now=later) == "failed"
        over = get(tx, job.job_id)
    assert (over.state, over.finished_at, over.attempt) == ("failed", later, 2)
    assert over.error == {
        "code": "source_unavailable",
        "title": "Price source unavailable",
        "detail": "Yahoo did not answer.",
        "ticker": "AAPL",
        "loss": None,
    }


def test_a_failure_that_stays_is_not_tried_again(database):
    with database.write() as tx:
        queue(tx)
        job = take(tx)
        assert fail(tx, job.job_id, job.fence, FitDiverged("The loss is NaN.", epoch=3), now=NOON) == "failed"
        assert get(tx, job.job_id).error["epoch"] == 3


def test_a_failure_after_a_request_to_cancel_is_a_cancellation(database):
    with database.write() as tx:
        queue(tx)
        job = take(tx)
        request_cancel(tx, job.job_id, now=NOON)
        assert fail(tx, job.job_id, job.fence, OUTAGE, now=NOON) == "cancelled"
        assert get(tx, job.job_id).state == "cancelled"


def test_a_job_whose_workers_all_fell_silent_fails_as_lease_expired(database):
    with database.write() as tx:
        job_id = queue(tx, max_attempts=2).job_id
        moment = NOON
        for attempt in (1, 2):
            assert take(tx, now=moment).attempt == attempt
            moment += after(31) - NOON
            assert reap(tx, now=moment) == [job_id]
            moment = next_attempt_at(job_id, attempt, now=moment)
        over = get(tx, job_id)
    assert (over.state, over.error["code"], over.error["attempt"]) == ("failed", "lease_expired", 2)


def test_a_silent_worker_whose_job_was_to_be_cancelled_leaves_it_cancelled(database):
    with database.write() as tx:
        job_id = queue(tx).job_id
        take(tx)
        request_cancel(tx, job_id, now=NOON)
        assert reap(tx, now=after(31)) == [job_id]
        assert get(tx, job_id).state == "cancelled"


def test_a_released_job_runs_again_at_once_and_the_attempt_does_not_count(database):
    with database.write() as tx:
        queue(tx, max_attempts=1)
        job = take(tx)
        assert release(tx, job.job_id, job.fence, now=after(3))
        again = take(tx, now=after(3))
    assert (again.job_id, again.attempt, again.fence) == (job.job_id, 1, 2)


def test_a_released_job_that_was_to_be_cancelled_is_cancelled(database):
    with database.write() as tx:
        job_id = queue(tx).job_id
        job = take(tx)
        request_cancel(tx, job_id, now=NOON)
        assert release(tx, job.job_id, job.fence, now=after(3))
        assert get(tx, job_id).state == "cancelled"


def test_a_queued_job_is_cancelled_at_once(database):
    with database.write() as tx:
        job_id = queue(tx).job_id
        job = request_cancel(tx, job_id, now=after(1))
        assert (job.state, job.finished_at) == ("cancelled", after(1))
        assert claim(tx, owner="worker", lease_seconds=30, now=after(2)) is None


def test_a_running_job_is_asked_to_stop_and_its_worker_ends_it(database):
    with database.write() as tx:
        queue(tx)
        job = take(tx)
        for _ in range(2):
            asked = request_cancel(tx, job.job_id, now=after(1))
            assert (asked.state, asked.cancel_requested) == ("running", True)
        assert heartbeat(tx, job.job_id, job.fence, lease_seconds=30, now=after(2)) is True
        assert cancelled(tx, job.job_id, job.fence, now=after(3))
        assert get(tx, job.job_id).finished_at == after(3)


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_a_job_that_is_over_cannot_be_cancelled(database, end):
    with database.write() as tx:
        queue(tx)
        job = take(tx)
        if end == "succeeded":
            succeed(tx, job.job_id, job.fence, {}, now=NOON)
        elif end == "failed":
            fail(tx, job.job_id, job.fence, FitDiverged("NaN"), now=NOON)
        else:
            cancelled(tx, job.job_id, job.fence, now=NOON)
        with pytest.raises(JobAlreadyOver) as caught:
            request_cancel(tx, job.job_id, now=NOON)
    assert caught.value.facts == {"job_id": job.job_id, "state": end}


def test_a_job_that_does_not_exist_cannot_be_cancelled(database):
    with pytest.raises(NoSuchJob), database.write() as tx:
        request_cancel(tx, "nothing", now=NOON)


def test_a_job_whose_source_asks_for_patience_waits_at_least_as_long(database):
    with database.write() as tx:
        queue(tx)
        job = take(tx)
        asked = SourceRateLimited("Patience.", retry_after_seconds=900)
        assert fail(tx, job.job_id, job.fence, asked, now=after(1)) == "queued"
        for seconds in (2, 100, 900):
            assert claim(tx, owner="worker", lease_seconds=30, now=after(seconds)) is None
        assert take(tx, now=after(901)).job_id == job.job_id
