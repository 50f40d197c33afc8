"""Clocks that jump, summer time, a leap day, the turn of the year: no job is lost, no session forecast twice."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from app.bootstrap import open_services
from app.forecasting.refresh import refresh_tickers
from app.jobs import leases
from app.registry import forecasts
from app.sessions.calendars import exchange_of, sessions_between
from app.settings import Settings
from app.worker.schedule import submit_due_refresh
from tests.api import rows
from tests.chaos.entries.job import JOURNAL
from tests.chaos.entries.wall import OFFSET
from tests.chaos.tables import tell
from tests.worker.support import is_alive, job_of, started, submit, wait_for

WORKER = (sys.executable, "-m", "tests.chaos.entries.worker")


@pytest.fixture
def wall(tmp_path, monkeypatch, environment):
    """Set the wall clock of the workers and their children by seconds, while they run."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    monkeypatch.setenv(OFFSET, str(offset))
    monkeypatch.setenv(JOURNAL, str(tmp_path / "journal"))

    def set_by(seconds):
        fresh = tmp_path / "fresh"
        fresh.write_text(str(seconds))
        fresh.rename(offset)

    return set_by


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_jump_of_the_clock_costs_no_running_job_an_attempt(services, wall, jump):
    jobs = [submit(services, ticker=f"T{n}", seconds=8) for n in range(2)]
    with started(*WORKER, "one"), started(*WORKER, "two"):
        wait_for(lambda: all(job_of(services, job_id).progress for job_id in jobs))
        wall(jump)
        wait_for(lambda: all(job_of(services, job_id).is_over for job_id in jobs), seconds=60)
        later = [submit(services, ticker=f"U{n}", seconds=0.1) for n in range(2)]  # the test's own clock did not jump
        wait_for(lambda: all(job_of(services, job_id).is_over for job_id in later), seconds=60)
    ended = Counter((job_of(services, job_id).state, job_of(services, job_id).attempt) for job_id in jobs + later)
    assert ended == {("succeeded", 1): 4}
    tell(
        f"Clock set by {jump:+d} s under two workers",
        ("state", "attempts", "jobs"),
        [(*k, n) for k, n in ended.items()],
    )


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_jump_of_the_clock_does_not_bury_the_job_of_a_dead_worker(services, wall, jump):
    job_id = submit(services, seconds=4)
    with started(*WORKER, "first") as first:
        wait_for(lambda: job_of(services, job_id).progress)
        child = job_of(services, job_id).progress["pid"]
        first.kill()
        wait_for(lambda: not is_alive(child))
    wall(jump)
    with started(*WORKER, "second"):
        wait_for(lambda: job_of(services, job_id).is_over, seconds=60)
    assert (job_of(services, job_id).state, job_of(services, job_id).attempt) == ("succeeded", 2)


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


SPANS = {
    "turn of the year": (date(2025, 12, 22), date(2026, 1, 9)),
    "summer time begins": (date(2026, 3, 2), date(2026, 3, 13)),
    "summer time ends": (date(2025, 10, 27), date(2025, 11, 7)),
    "leap day": (date(2024, 2, 23), date(2024, 3, 5)),
}
MARKETS = ("AAA", "AAA.L", "AAA.T", "AAA-USD")
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.mark.parametrize("span", list(SPANS))
def test_each_session_is_forecast_once_and_by_one_refresh(tmp_path, monkeypatch, span):
    first, last = SPANS[span]
    clock = Clock(datetime(first.year, first.month, first.day, tzinfo=UTC))
    services = market(tmp_path, monkeypatch, clock, start=first - timedelta(days=4))
    asked, issued = Counter(), Counter()
    while clock.now.date() <= last:
        clock.now += HALF_AN_HOUR
        told = one_round(services, clock.now)
        for ticker in named(told):
            asked[ticker, history(services, ticker)[0].as_of_session] += 1
        if told:
            assert the_hour_again(services, clock) == [{}, {}, {}], "what was just refreshed is asked for again"
    for ticker in MARKETS:
        issued.update((ticker, stored.as_of_session) for stored in history(services, ticker))
    services.database.close()
    expected = {(ticker, day) for ticker in MARKETS for day in sessions_of(ticker, first, last)}
    assert asked == dict.fromkeys(expected, 1)
    assert issued == dict.fromkeys(expected, 1)


def named(told):
    """All tickers that a refresh has asked for, whatever came of it."""
    return [*told.get("refreshed", ()), *told.get("unchanged", ()), *(one["ticker"] for one in told.get("failed", ()))]


def history(services, ticker):
    with services.database.read() as tx:
        return list(forecasts.history(tx, ticker, since=None, before=None, limit=100))


def the_hour_again(services, clock):
    """Set the clock back by an hour, in which a bar has just come, and return what its rounds come to."""
    now, told = clock.now, []
    for back in (2 * HALF_AN_HOUR, HALF_AN_HOUR, timedelta(0)):
        clock.now = now - back
        told.append(one_round(services, clock.now))
    return told


def sessions_of(ticker, first, last):
    """The last session before ``first``, which the first refresh finds, and all until ``last``."""
    days = sessions_between(exchange_of(ticker), first - timedelta(days=10), last)
    return [max(day for day in days if day < first), *(day for day in days if day >= first)]


def market(folder, monkeypatch, clock, *, start):
    """A service whose files always end with the newest session, a champion each."""
    prices = folder / "prices"
    prices.mkdir()
    settings = Settings(home=folder / "home", source="files", files_dir=prices, refresh_delay_seconds=0)
    services = open_services(settings, clock=clock)
    monkeypatch.setattr(rows, "AS_OF", start)
    monkeypatch.setattr(rows, "NOW", clock.now - timedelta(days=2))
    network = rows.network_of()
    for ticker in MARKETS:
        (prices / f"{ticker}.csv").write_text(bars_until(ticker, clock.now.date() + timedelta(days=40)))
        rows.add_version(services, ticker, alias="champion", network=network, source="sample")
        with services.database.write() as tx:
            tx.exec_driver_sql("UPDATE versions SET data = json_set(data, '$.source', 'files')")
            tx.exec_driver_sql("""UPDATE versions SET "order" = json_set("order", '$.data.source', 'files')""")
    return services


def bars_until(ticker, last):
    """The bars of every session; those that have not closed yet the source holds back by itself."""
    days = sessions_between(exchange_of(ticker), last - timedelta(days=700), last)
    lines = [f"{day},{100 + n % 5},{102 + n % 5},{99 + n % 5},{101 + n % 5},1000" for n, day in enumerate(days)]
    return "\n".join(["Date,Open,High,Low,Close,Volume", *lines]) + "\n"


def one_round(services, now):
    """What a worker does that finds a refresh due; returns the job's result."""
    with services.database.write() as tx:
        submit_due_refresh(tx, retry_seconds=1800, max_attempts=3, now=now)
        job = leases.claim(tx, owner="worker", lease_seconds=30, now=now)
    if job is None:
        return {}
    result = refresh_tickers(job.payload["tickers"], services=services, report=lambda *_: None)
    with services.database.write() as tx:
        assert leases.succeed(tx, job.job_id, job.fence, result, now=now)
    return result


@pytest.mark.parametrize("ticker", ["INFY.NS", "D05.SI", "600519.SS"])
def test_where_the_calendar_ends_a_forecast_is_issued_and_flagged(tmp_path, monkeypatch, ticker):
    monkeypatch.setattr(sys.modules[__name__], "MARKETS", (ticker,))
    clock = Clock(datetime(2027, 1, 4, 12, tzinfo=UTC))
    services = market(tmp_path, monkeypatch, clock, start=date(2026, 12, 30))
    told = refresh_tickers([ticker], services=services, report=lambda *_: None)
    assert told["failed"] == []
    with services.database.read() as tx:
        (stored,) = forecasts.history(tx, ticker, since=None, before=None, limit=1)
    services.database.close()
    assert stored.calendar["approximate"] is True
    assert stored.steps[0].target_session > date(2026, 12, 31)
