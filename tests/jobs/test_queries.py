from __future__ import annotations

import pytest

from app.errors import NoSuchJob
from app.jobs import fleet
from app.jobs.leases import claim, heartbeat, reap, release, report, request_cancel
from app.jobs.queries import active_marks, active_on, ended_since, get, get_many, list_jobs, queue_stats
from tests.db.plans import query_plans
from tests.jobs.orders import NOON, after, queue, take


def test_a_job_that_does_not_exist_is_named_in_the_error(database):
    with pytest.raises(NoSuchJob, match="nothing"), database.read() as tx:
        get(tx, "nothing")


def test_pages_of_jobs_run_from_newest_to_oldest_and_miss_none_of_the_same_moment(database):
    with database.write() as tx:
        for number in range(7):
            queue(tx, f"work {number}", now=after(number // 3))
    seen, before = [], None
    with database.read() as tx:
        while page := list_jobs(tx, before=before, limit=2):
            seen += [(job.created_at, job.job_id) for job in page]
            before = seen[-1]
    assert len(seen) == 7
    assert seen == sorted(seen, reverse=True)


def test_jobs_are_found_by_state_kind_and_ticker(database):
    with database.write() as tx:
        queue(tx, "a", ticker="AAPL", now=after(0))
        queue(tx, "b", ticker="MSFT", now=after(1))
        queue(tx, "c", ticker="MSFT", now=after(2), kind="refresh")
        take(tx, now=after(3))
        found = {
            name: [job.payload["of"] for job in list_jobs(tx, limit=9, **wanted)]
            for name, wanted in {
                "running": {"state": "running"},
                "MSFT": {"ticker": "MSFT"},
                "MSFT trainings": {"ticker": "MSFT", "kind": "train"},
                "nothing": {"state": "failed"},
            }.items()
        }
    assert found == {"running": ["a"], "MSFT": ["c", "b"], "MSFT trainings": ["b"], "nothing": []}


def test_active_jobs_of_a_ticker_are_those_that_wait_or_run(database):
    with database.write() as tx:
        running = queue(tx, "a").job_id
        take(tx)
        waiting = queue(tx, "b", now=after(1)).job_id
        over = queue(tx, "c", now=after(2)).job_id
        request_cancel(tx, over, now=after(3))
        queue(tx, "d", ticker="MSFT")
        assert active_on(tx, "AAPL") == [running, waiting]
        assert active_on(tx, "TSLA") == []


def test_the_queue_tells_its_lengths_and_the_longest_wait(database):
    zeros = dict.fromkeys(("queued", "running", "succeeded", "failed", "cancelled"), 0)
    with database.write() as tx:
        assert queue_stats(tx, NOON) == {**zeros, "oldest_queued_seconds": 0.0}
        for number in range(3):
            queue(tx, f"work {number}", now=after(number))
        take(tx, now=after(5))
        assert queue_stats(tx, after(11)) == {**zeros, "queued": 2, "running": 1, "oldest_queued_seconds": 10.0}


def test_a_claim_looks_only_at_the_queue(sqlite_database):
    with sqlite_database.write() as tx:
        (plan,) = query_plans(tx, lambda: claim(tx, owner="worker", lease_seconds=30, now=NOON))
    assert "SEARCH jobs USING INDEX ix_jobs_queue (state=?)" in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan  # the first that may run is the one


@pytest.mark.parametrize("by", ["state", "kind", "ticker"])
def test_a_list_of_jobs_reads_its_page_and_no_more(sqlite_database, by: str):
    with sqlite_database.write() as tx:
        (plan,) = query_plans(tx, lambda: list_jobs(tx, **{by: "train"}, before=(NOON, "x"), limit=9))
    assert f"SEARCH jobs USING INDEX ix_jobs_{by}_created_at_job_id ({by}=? AND (created_at,job_id)<(?,?))" in plan
    assert "TEMP B-TREE" not in plan


def test_the_reaper_looks_only_at_running_jobs(sqlite_database):
    with sqlite_database.write() as tx:
        (plan,) = query_plans(tx, lambda: reap(tx, now=NOON))
    assert "SEARCH jobs USING INDEX ix_jobs_state_created_at_job_id (state=?)" in plan


def test_a_mark_changes_with_what_is_told_of_a_job_and_not_with_its_lease(database):
    with database.write() as tx:
        job = queue(tx, now=NOON)
        marks = [active_marks(tx)]
        fence = take(tx).fence
        marks.append(active_marks(tx))
        heartbeat(tx, job.job_id, fence, lease_seconds=60, now=after(9))
        assert active_marks(tx) == marks[-1]
        report(tx, job.job_id, fence, {"stage": "fit"})
        marks.append(active_marks(tx))
        release(tx, job.job_id, fence, now=after(10))
        marks.append(active_marks(tx))
        take(tx, now=after(11))
        marks.append(active_marks(tx))
        request_cancel(tx, job.job_id, now=after(12))
        marks.append(active_marks(tx))
        assert all(one.keys() == {job.job_id} for one in marks)
        assert len({str(one) for one in marks}) == 6
        release(tx, job.job_id, fence + 1, now=after(13))
        assert active_marks(tx) == {}


def test_jobs_that_ended_are_found_by_when_the_last_one_first(database):
    with database.write() as tx:
        ended = [queue(tx, f"work {number}", now=NOON).job_id for number in range(4)]
        queue(tx, "active", now=after(9))
        for number, job_id in enumerate(ended):
            request_cancel(tx, job_id, now=after(number))
        assert ended_since(tx, after(1)) == ended[:0:-1]
        assert ended_since(tx, NOON, limit=2) == ended[:1:-1]
        assert {job.job_id for job in get_many(tx, [*ended[:2], "none", *map(str, range(600))])} == set(ended[:2])
        assert get_many(tx, []) == []


def test_a_look_at_the_jobs_passes_over_those_that_ended_long_ago(sqlite_database):
    with sqlite_database.write() as tx:
        (active,) = query_plans(tx, lambda: active_marks(tx))
        (ended,) = query_plans(tx, lambda: ended_since(tx, NOON))
    assert "SEARCH jobs USING INDEX ix_jobs_state_created_at_job_id (state=?)" in active
    assert "SEARCH jobs USING INDEX ix_jobs_finished_at (finished_at>?)" in ended
    assert "TEMP B-TREE" not in ended


def test_a_worker_is_alive_as_long_as_it_is_heard_of(database):
    with database.write() as tx:
        fleet.beat(tx, "a", host="one", pid=1, now=NOON)
        fleet.beat(tx, "b", host="two", pid=2, now=NOON)
        fleet.beat(tx, "a", host="one", pid=1, now=after(30))
        seen = fleet.alive(tx, now=after(40), within_seconds=20)
        assert [(w.worker_id, w.host, w.pid, w.started_at, w.seen_at) for w in seen] == [
            ("a", "one", 1, NOON, after(30))
        ]
        assert len(fleet.alive(tx, now=after(40), within_seconds=40)) == 2
        fleet.forget(tx, "a")
        assert fleet.alive(tx, now=after(40), within_seconds=20) == []


def test_a_worker_that_died_without_a_word_is_forgotten_after_a_day(database):
    a_day = 86_400
    with database.write() as tx:
        fleet.beat(tx, "killed", host="one", pid=1, now=NOON)
        for seconds, known in ((a_day, {"killed", "other"}), (a_day + 1, {"other"})):
            fleet.beat(tx, "other", host="one", pid=2, now=after(seconds))
            assert {w.worker_id for w in fleet.alive(tx, now=after(seconds), within_seconds=2 * a_day)} == known
