"""A worker that has claimed a training takes more of its shape along, and leaves the others their share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection

from app.domain.batch import LARGEST_BATCH
from app.domain.job import Job
from app.errors import WorkerLost
from app.jobs.leases import busy_workers, cancelled, claim, claim_alike, fail, heartbeat, release, succeed
from app.jobs.queries import get
from app.jobs.submission import submit
from tests.jobs.orders import NOON, after, take


def train(tx: Connection, name: str, *, at: float = 0, units: int = 8, **options: Any) -> str:
    payload = {"ticker": name, "spec": {"units": [units], "seed": 1}}
    options = {"kind": "train", "priority": 0, **options}
    job, _ = submit(tx, ticker=name, payload=payload, dedupe=name, now=after(at), **options)
    return job.job_id


def take_all(tx: Connection, *, idle: int = 1, now: Any = NOON, owner: str = "worker") -> list[Job]:
    first = take(tx, now=now, owner=owner)
    alike = claim_alike(tx, first, owner=owner, lease_seconds=30, idle_workers=idle, now=now)
    return [first, *alike]


def names(jobs: list[Job]) -> list[str | None]:
    return [job.ticker for job in jobs]


def test_what_is_alike_comes_along_oldest_first_under_a_fence_each(database):
    with database.write() as tx:
        for place, name in enumerate(("C", "A", "B")):
            train(tx, name, at=place)
        taken = take_all(tx, now=after(9))
        assert [(job.ticker, job.state, job.attempt, job.fence) for job in taken] == [
            (name, "running", 1, 1) for name in ("C", "A", "B")
        ]
        assert [job.started_at for job in taken] == [after(9)] * 3


def test_what_is_not_alike_stays_in_the_queue(database):
    with database.write() as tx:
        train(tx, "first", priority=1)
        train(tx, "less urgent", at=1)
        train(tx, "wider", at=2, units=9, priority=1)
        train(tx, "judged only", at=3, kind="backtest", priority=1)
        train(tx, "later", at=99, priority=1)
        train(tx, "alike", at=4, priority=1)
        assert names(take_all(tx, now=after(9))) == ["first", "alike"]


def test_a_job_that_was_in_a_process_that_died_runs_alone_from_then_on(database):
    with database.write() as tx:
        for place, name in enumerate("ABC"):
            train(tx, name, at=place)
        for job in take_all(tx, now=after(9))[1:]:
            assert fail(tx, job.job_id, job.fence, WorkerLost("killed"), now=after(9)) == "queued"
        train(tx, "D", at=3)
        again = [names(take_all(tx, now=after(9))) for _ in range(3)]
    assert again == [["B"], ["C"], ["D"]]


def test_a_job_that_was_handed_back_in_order_may_share_again(database):
    with database.write() as tx:
        for name in "AB":
            train(tx, name)
        for job in take_all(tx):
            release(tx, job.job_id, job.fence, now=NOON)
        assert sorted(names(take_all(tx))) == ["A", "B"]


def test_each_idle_worker_is_left_its_part_of_the_queue_and_the_last_one_takes_the_rest(database):
    with database.write() as tx:
        for number in range(9):
            train(tx, f"{number}")
        shares = [len(take_all(tx, idle=idle, owner=f"w{idle}")) for idle in (3, 2, 1)]
        assert shares == [3, 3, 3]
        assert busy_workers(tx) == {"w1", "w2", "w3"}


def test_no_process_takes_more_than_its_most(database):
    with database.write() as tx:
        for number in range(LARGEST_BATCH + 6):
            train(tx, f"{number}")
        assert [len(take_all(tx)) for _ in range(2)] == [LARGEST_BATCH, 6]


def test_workers_that_claim_many_at_once_never_get_the_same_job(database):
    with database.write() as tx:
        for number in range(24):
            train(tx, f"{number}")
    claimed = in_parallel(lambda owner: claim_until_empty(database, owner))
    assert len(claimed) == len(set(claimed)) == 24


def claim_until_empty(database: Any, owner: str) -> list[str]:
    mine: list[str] = []
    while True:
        with database.write() as tx:
            first = claim(tx, owner=owner, lease_seconds=30, now=NOON)
            if first is None:
                return mine
            alike = claim_alike(tx, first, owner=owner, lease_seconds=30, idle_workers=4, now=NOON)
            mine += [job.job_id for job in (first, *alike)]


def in_parallel(work: Callable[[str], list[str]]) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return [job_id for mine in pool.map(work, [f"w{n}" for n in range(4)]) for job_id in mine]


def test_jobs_that_came_together_end_each_by_itself(database):
    with database.write() as tx:
        for name in "ABC":
            train(tx, name)
        one, two, three = take_all(tx)
        assert succeed(tx, one.job_id, one.fence, {"version": 1}, now=NOON)
        assert cancelled(tx, two.job_id, two.fence, now=NOON)
        assert heartbeat(tx, one.job_id, one.fence, lease_seconds=30, now=NOON) is None
        assert heartbeat(tx, three.job_id, three.fence, lease_seconds=30, now=NOON) is False
        assert [get(tx, job.job_id).state for job in (one, two, three)] == ["succeeded", "cancelled", "running"]
