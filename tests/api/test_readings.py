"""What a scrape says of jobs, forecasts and sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from app.domain.breaker import HALF_OPEN, OPEN, Breaker
from app.errors import CorruptArtifact, SourceUnavailable, UnknownTicker
from app.forecasting.fall_back import Files
from app.forecasting.refresh import refresh_tickers
from app.forecasting.renewal import Due, Outcome, Outcomes
from app.forecasting.scoring import Settled
from app.forecasting.services import Services
from app.jobs import leases
from app.jobs.outcomes import outcomes
from app.registry import scores, source_state, tickers
from tests.api.conftest import Clock
from tests.api.rows import add_version
from tests.db.databases import database, database_url, migrated_file, migrated_schema
from tests.jobs.orders import after, queue, take
from tests.registry.test_scores import came, issue

__all__ = ["database", "database_url", "migrated_file", "migrated_schema"]

Values = dict[tuple[str, ...], float]


def scrape(client: TestClient) -> Values:
    """The samples by name and the values of their labels, in the order of the names of these."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_jobs_that_ended_are_told_by_kind_end_and_code(database: Any) -> None:
    with database.write() as tx:
        for seconds in (10, 30):
            queue(tx)
            job = take(tx)
            leases.succeed(tx, job.job_id, job.fence, {}, now=after(seconds))
        queue(tx, kind="tune", max_attempts=1)
        job = take(tx)
        leases.fail(tx, job.job_id, job.fence, SourceUnavailable("down"), now=after(5))
        leases.request_cancel(tx, queue(tx, "other").job_id, now=after(6))
        found = {(one.kind, one.state, one.code): one for one in outcomes(tx, since=after(0))}
        assert outcomes(tx, since=after(31)) == []
    assert {key: one.count for key, one in found.items()} == {
        ("train", "succeeded", ""): 2,
        ("tune", "failed", "source_unavailable"): 1,
        ("train", "cancelled", ""): 1,
    }
    succeeded = found["train", "succeeded", ""]
    assert (succeeded.mean_seconds, succeeded.longest_seconds) == (
        pytest.approx(20, abs=0.01),
        pytest.approx(30, abs=0.01),
    )
    assert found["train", "cancelled", ""].mean_seconds is None


def test_expired_leases_and_damaged_files_are_counted(client: TestClient, services: Services, clock: Clock) -> None:
    assert scrape(client)["morrow_lease_expiries_total",] == 0
    with services.database.write() as tx:
        for name in ("a", "b"):
            queue(tx, name, now=clock.now)
        first, second = take(tx, now=clock.now), take(tx, now=clock.now)
        leases.fail(tx, first.job_id, first.fence, CorruptArtifact("gone"), now=clock.now)
        assert leases.reap(tx, now=clock.now + timedelta(minutes=5)) == [second.job_id]
    seen = scrape(client)
    assert (seen["morrow_lease_expiries_total",], seen["morrow_corrupt_artifacts_total",]) == (1, 1)
    assert seen["morrow_jobs_ended_lately", "corrupt_artifact", "train", "failed"] == 1


def test_a_refresh_counts_the_damaged_files_that_it_met(client: TestClient, services: Services) -> None:
    def damaged(due: Sequence[Due], *, services: Services) -> Outcomes:
        for one in due:
            problems = [CorruptArtifact("gone").to_problem(), UnknownTicker("never heard of").to_problem()]
            nothing = {"fresh": [], "settled": Settled(), "asked": False, "outage": None, "files": Files()}
            yield Outcome(ticker=one.ticker, problems=problems, **nothing)

    for name in ("AAA", "BBB"):
        add_version(services, name, alias="champion")
    refresh_tickers(None, services=services, report=lambda *about, **facts: None, renew_all=damaged)
    assert scrape(client)["morrow_corrupt_artifacts_total",] == 2


def test_how_long_the_oldest_job_has_waited(client: TestClient, services: Services, clock: Clock) -> None:
    with services.database.write() as tx:
        queue(tx, now=clock.now - timedelta(seconds=90))
    seen = scrape(client)
    assert seen["morrow_job_queue_oldest_seconds",] == 90


def test_a_forecast_that_nobody_renews_is_overdue_by_the_time_since_its_bar_was_due(
    client: TestClient, services: Services, clock: Clock
) -> None:
    for name in ("AAA", "BBB", "CCC", "DDD"):
        add_version(services, name, alias="champion")
    with services.database.write() as tx:
        tx.execute(text("UPDATE tickers SET next_update_at = NULL, bar_due_at = NULL"))
        tickers.ensure(tx, "GONE")  # without a version: nobody is served by it
        tickers.set_next_update(tx, "GONE", clock.now - timedelta(days=9))
        tickers.note_bars(tx, "AAA", due_at=clock.now + timedelta(hours=3), late_sessions=0)
    seen = scrape(client)
    assert (seen["morrow_tickers_served",], seen["morrow_forecast_freshness_seconds",]) == (4, 0)
    with services.database.write() as tx:
        tickers.set_next_update(tx, "BBB", clock.now - timedelta(minutes=5))  # never refreshed yet
        tickers.note_bars(tx, "CCC", due_at=clock.now - timedelta(hours=2), late_sessions=2)
        tickers.set_next_update(tx, "CCC", clock.now + timedelta(minutes=30))  # it will be asked again
        tickers.note_bars(tx, "DDD", due_at=clock.now - timedelta(days=400), late_sessions=280)
        tickers.set_source_state(tx, "CCC", ok=False, error={"code": "source_unavailable"}, now=clock.now)
    seen = scrape(client)
    assert seen["morrow_forecast_freshness_seconds",] == 7200
    assert (seen["morrow_bars_lag_sessions",], seen["morrow_tickers_silent",]) == (2, 1)
    assert seen["morrow_tickers_degraded",] == 1
    clock.now += timedelta(hours=1)
    assert scrape(client)["morrow_forecast_freshness_seconds",] == 10800


def test_coverage_is_told_of_what_was_scored_live(client: TestClient, services: Services) -> None:
    assert not [key for key in scrape(client) if key[0] == "morrow_forecast_coverage_ratio"]
    with services.database.write() as tx:
        for day in range(4):
            step = came(issue(tx, f"f {day}", day), day)
            inside = {"80": {"raw": True, "displayed": day < 2}, "90": {"raw": True, "displayed": day < 3}}
            inside["95"] = {"raw": True, "displayed": True}
            scores.settle(tx, [replace(step, inside=inside)])
    seen = scrape(client)
    assert seen["morrow_forecasts_scored",] == 4
    assert [seen["morrow_forecast_coverage_ratio", level] for level in ("80", "90", "95")] == [0.5, 0.75, 1.0]
    assert seen["morrow_forecast_calibration_error",] == pytest.approx(0.3)


@pytest.mark.parametrize(("state", "value"), [(None, 0), (HALF_OPEN, 1), (OPEN, 2)])
def test_the_breaker_of_each_remote_source_is_told_until_its_pause_is_over(
    client: TestClient, services: Services, clock: Clock, state: str | None, value: int
) -> None:
    if state:
        with services.database.write() as tx:
            until = clock.now + timedelta(minutes=15)
            source_state.change(tx, "yahoo", lambda _: Breaker(state=state, until=until), now=clock.now)
    for expected in (value, 0):
        seen = scrape(client)
        assert {key: found for key, found in seen.items() if key[0] == "morrow_source_breaker_state"} == {
            ("morrow_source_breaker_state", "yahoo"): expected
        }
        clock.now += timedelta(minutes=15)


def test_problems_are_counted_by_their_code(client: TestClient) -> None:
    before = scrape(client).get(("morrow_problems_total", "no_model_yet"), 0)
    client.get("/v1/forecasts/NOPE")
    assert scrape(client)["morrow_problems_total", "no_model_yet"] == before + 1


def test_a_scrape_reads_no_more_of_a_large_registry_than_of_a_small_one(client: TestClient, services: Services) -> None:
    """No statement of it goes through forecasts or scores, which grow for ever."""
    seen: list[str] = []
    event.listen(
        services.database._reader,
        "before_cursor_execute",
        lambda *about: seen.append(about[2]),
    )
    scrape(client)
    assert len(seen) > 5
    assert not [one for one in seen if "FROM forecasts" in one or "FROM scores" in one]
