"""Refreshes that the clock submits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.errors import JobCrashed
from app.jobs import leases
from app.registry import tickers, versions
from app.worker.schedule import submit_due_refresh
from tests.worker.support import published_version

RETRY_SECONDS = 600


@pytest.fixture
def now(services):
    return services.clock()


def make_due(services, *names, at):
    """Register a version of each ticker, with its next update at that time."""
    for name in names:
        with services.database.write() as tx:
            number = versions.reserve_number(tx, name)
        version = published_version(services, ticker=name, number=number)
        with services.database.write() as tx:
            versions.register(tx, version)
            tickers.set_next_update(tx, name, at)


def look(services, now):
    with services.database.write() as tx:
        return submit_due_refresh(tx, retry_seconds=RETRY_SECONDS, max_attempts=3, now=now)


def end(services, now, *, error=None):
    """Claim the one queued job and end it."""
    with services.database.write() as tx:
        job = leases.claim(tx, owner="tester", lease_seconds=60, now=now)
        if error:
            leases.fail(tx, job.job_id, job.fence, error, now=now)
        else:
            leases.succeed(tx, job.job_id, job.fence, {}, now=now)


def test_nothing_is_submitted_while_nothing_is_due(services, now):
    assert look(services, now) is None


def test_one_job_refreshes_all_that_is_due(services, now):
    make_due(services, "B", "A", at=now)
    job = look(services, now)
    assert (job.kind, job.payload, job.submitted_by) == ("refresh", {"tickers": ["A", "B"]}, "schedule")


def test_there_is_never_a_second_one_beside_an_active_one(services, now):
    make_due(services, "A", at=now)
    assert look(services, now)
    assert look(services, now) is None
    make_due(services, "B", at=now)
    assert look(services, now + timedelta(seconds=2 * RETRY_SECONDS)) is None


def test_a_refresh_that_failed_is_not_repeated_before_its_time(services, now):
    make_due(services, "A", at=now)
    look(services, now)
    end(services, now, error=JobCrashed("ended"))
    assert look(services, now + timedelta(seconds=RETRY_SECONDS - 1)) is None
    assert look(services, now + timedelta(seconds=RETRY_SECONDS + 1)).payload == {"tickers": ["A"]}


def test_another_ticker_that_becomes_due_does_not_wait_for_the_first(services, now):
    make_due(services, "A", at=now)
    look(services, now)
    end(services, now, error=JobCrashed("ended"))
    make_due(services, "B", at=now)
    assert look(services, now + timedelta(seconds=1)).payload == {"tickers": ["B"]}


def test_a_ticker_that_becomes_due_again_after_a_success_does_not_wait(services, now):
    make_due(services, "A", at=now)
    look(services, now)
    end(services, now)
    assert look(services, now + timedelta(seconds=1)).payload == {"tickers": ["A"]}
