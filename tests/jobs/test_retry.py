from __future__ import annotations

from datetime import timedelta

import pytest

from app.jobs.retry import backoff_seconds, jitter, next_attempt_at
from tests.jobs.orders import NOON


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (7, 600), (100, 600)]
)
def test_the_wait_doubles_and_ends_at_ten_minutes(attempt, seconds):
    assert backoff_seconds(attempt) == seconds


def test_jitter_spreads_jobs_by_a_fifth_to_either_side():
    factors = [jitter(f"job {number}", 1) for number in range(500)]
    assert 0.8 <= min(factors) < 0.81
    assert 1.19 < max(factors) < 1.2
    assert abs(sum(factors) / 500 - 1) < 0.02


def test_the_next_attempt_is_fixed_by_job_and_attempt():
    at = next_attempt_at("job", 2, now=NOON)
    assert at == next_attempt_at("job", 2, now=NOON)
    assert timedelta(seconds=48) <= at - NOON <= timedelta(seconds=72)
    assert jitter("job", 1) != jitter("job", 2)
