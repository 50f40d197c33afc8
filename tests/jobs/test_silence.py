from __future__ import annotations

import pytest

from app.jobs.leases import claim, heartbeat, reap
from app.jobs.queries import get
from app.jobs.silence import Silence
from tests.jobs.orders import NOON, after, queue, take

LEASE = 30


class Steady:
    """Monotonic seconds, as the test wants them."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def steady():
    return Steady()


@pytest.fixture
def silence(steady):
    return Silence(LEASE, monotonic=steady)


def test_a_lease_that_stays_expired_between_two_looks_is_lost(database, silence, steady):
    with database.write() as tx:
        job_id = queue(tx).job_id
        take(tx)
        assert reap(tx, now=after(29), silence=silence) == []
        assert reap(tx, now=after(31), silence=silence) == []
        steady.seconds += 1
        assert reap(tx, now=after(32), silence=silence) == [], "its owner had no time for a heartbeat"
        steady.seconds += 2
        assert reap(tx, now=after(34), silence=silence) == [job_id]


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_jumps_takes_no_job_from_a_worker_that_lives(database, silence, steady, jump):
    with database.write() as tx:
        job = take_one(tx)
        for beat in range(40):
            steady.seconds += 2
            now = after(beat * 2 + (jump if beat >= 10 else 0))
            assert reap(tx, now=now, silence=silence) == []
            assert heartbeat(tx, job.job_id, job.fence, lease_seconds=LEASE, now=now) is False
        assert get(tx, job.job_id).attempt == 1


@pytest.mark.parametrize(("jump", "seconds"), [(3600, 3), (-3600, LEASE)])
def test_a_clock_that_jumps_does_not_keep_a_dead_workers_job_from_running_again(
    database, silence, steady, jump, seconds
):
    with database.write() as tx:
        job = take_one(tx)
        assert reap(tx, now=after(jump), silence=silence) == []
        steady.seconds += seconds
        assert reap(tx, now=after(jump + seconds), silence=silence) == [job.job_id]
        assert take(tx, now=after(jump + seconds)).job_id == job.job_id


def test_a_host_whose_clock_is_a_minute_off_neither_loses_jobs_nor_takes_them(database, silence, steady):
    with database.write() as tx:
        job = take_one(tx)
        for beat in range(10):
            steady.seconds += 5
            heartbeat(tx, job.job_id, job.fence, lease_seconds=LEASE, now=after(5 * beat - 60))
            assert reap(tx, now=after(5 * beat), silence=silence) == []


def test_a_job_handed_in_before_the_clock_was_set_back_runs_at_once(database):
    with database.write() as tx:
        job_id = queue(tx).job_id
        found = claim(tx, owner="worker", lease_seconds=LEASE, now=after(-3600))
    assert found is not None
    assert found.job_id == job_id


def take_one(tx):
    queue(tx)
    return take(tx, now=NOON)
