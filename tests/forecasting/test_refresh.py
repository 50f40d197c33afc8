"""New bars move forecasts on; a dead source leaves them, marked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from app.domain.order import TrainingOrder
from app.errors import HorizonTooLong, NoModelYet, NoSuchAlias, NoSuchVersion, SourceUnavailable
from app.forecasting.adhoc import forecast_bars
from app.forecasting.answer import answer, chosen
from app.forecasting.market_data import latest_bars
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.forecasting.state import SILENT_SESSIONS
from app.registry import aliases, forecasts, tickers
from app.registry.condition import condition
from tests.api.rows import add_version
from tests.forecasting.conftest import NOW, Clock, TestSource, make_bars

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

LEVELS = (80.0, 95.0)


@pytest.fixture
def trained(services: Services, source: TestSource) -> Services:
    """AAA with version 1 as champion."""
    from app.training.threads import use_threads
    from app.training.train import train_model

    use_threads(1)  # as all tests that share this process do: TensorFlow fixes it at the first network
    source.bars["AAA"] = make_bars(900)
    body = {
        "ticker": "AAA",
        "data": {"source": "files"},
        "evaluation": {"kind": "fixed", "test_fraction": 0.3},
        "spec": {"epochs": 1, "units": [2], "window": 5, "features": ["returns"], "batch_size": 512},
        "promote": "never",
    }

    def complete(tx: Connection, result: dict[str, Any]) -> None:
        aliases.point(tx, "AAA", "champion", result["version"], by="test", reason="test", now=NOW)

    train_model(
        TrainingOrder.from_dict(body),
        latest_bars("AAA", "files", services=services),
        services=services,
        report=lambda *a, **k: None,
        complete=complete,
        job_id=None,
        submitted_by="test",
    )
    return services


def document(services: Services, **wanted: Any) -> dict[str, Any]:
    asked = {"model": "champion", "horizon": 1, "levels": LEVELS, "now": services.clock(), **wanted}
    with services.database.read() as tx:
        return answer(chosen(tx, "AAA", asked["model"]), **asked).document


def refresh(services: Services) -> dict[str, Any]:
    return refresh_tickers(None, services=services, report=lambda *a, **k: None)


def test_a_new_bar_moves_the_forecast_to_the_next_session(trained: Services, source: TestSource, clock: Clock) -> None:
    assert (document(trained)["as_of_session"], document(trained)["state"]) == ("2024-03-05", "fresh")
    clock.now += timedelta(days=1)
    assert document(trained)["state"] == "stale"
    source.bars["AAA"] = make_bars(901, last="2024-03-06")
    result = refresh(trained)
    assert (result["refreshed"], result["failed"]) == (["AAA"], [])
    moved = document(trained)
    assert (moved["as_of_session"], moved["steps"][0]["target_session"]) == ("2024-03-06", "2024-03-07")
    assert (moved["state"], moved["edition"]) == ("fresh", result["edition"])


def test_without_new_bars_nothing_is_issued_again(trained: Services) -> None:
    first = document(trained)
    told = refresh(trained)
    assert told == {
        **{"edition": None, "refreshed": [], "unchanged": ["AAA"], "failed": []},
        **{"scored": 0, "restated": 0, "missing": 0, "promoted": [], "fell_back": []},
    }
    assert document(trained) == first


def test_a_restated_bar_behind_the_last_close_is_issued_again(trained: Services, source: TestSource) -> None:
    first, bars = document(trained), source.bars["AAA"]
    close = bars.close.copy()
    close[-3] *= 1.05
    source.bars["AAA"] = replace(bars, close=close, adj_close=close)
    assert refresh(trained)["refreshed"] == ["AAA"]
    again = document(trained)
    assert (again["as_of_session"], again["last_close"]) == (first["as_of_session"], first["last_close"])
    assert again["steps"][0]["volatility"] > first["steps"][0]["volatility"]


def test_during_an_outage_the_last_forecast_stands_and_is_marked(trained: Services, source: TestSource) -> None:
    source.outage = SourceUnavailable("down")
    refresh(trained)
    assert document(trained)["state"] == "degraded"
    assert document(trained)["reasons"] == ["degraded", "source_unavailable"]
    source.outage = None
    refresh(trained)
    assert document(trained)["state"] == "fresh"


def test_a_late_bar_is_asked_for_again_soon_and_a_silent_ticker_once_a_day(trained: Services, clock: Clock) -> None:
    clock.now += timedelta(days=2)
    refresh(trained)
    with trained.database.read() as tx:
        assert tickers.get(tx, "AAA")["next_update_at"] == clock.now + timedelta(seconds=1800)
        fares = condition(tx, silent_sessions=SILENT_SESSIONS, now=clock.now)
        assert (fares.late_sessions, fares.silent) == (2, 0)
        assert 0 < fares.overdue_seconds < timedelta(days=2).total_seconds()
    clock.now += timedelta(days=30)
    refresh(trained)
    with trained.database.read() as tx:
        assert tickers.get(tx, "AAA")["next_update_at"] == clock.now + timedelta(days=1)
        fares = condition(tx, silent_sessions=SILENT_SESSIONS, now=clock.now)
        assert (fares.late_sessions, fares.silent, fares.overdue_seconds) == (0, 1, 0)


def test_one_broken_ticker_does_not_hide_the_others(trained: Services, source: TestSource, clock: Clock) -> None:
    clock.now += timedelta(days=1)
    del source.bars["AAA"]
    result = refresh(trained)
    assert result["failed"][0]["ticker"] == "AAA"
    assert result["failed"][0]["problem"]["code"] == "unknown_ticker"
    assert document(trained)["as_of_session"] == "2024-03-05"


def test_what_cannot_be_read_of_one_ticker_hides_no_other(trained: Services, source: TestSource, clock: Clock) -> None:
    for ticker in ("BBB", "CCC", "DDD"):
        add_version(trained, ticker, spec={"features": ["close"], "window": 5}, alias="champion")
        source.bars[ticker] = make_bars(901, last="2024-03-06", seed=9)
    source.bars["AAA"] = make_bars(901, last="2024-03-06")
    clock.now += timedelta(days=1)
    with trained.database.write() as tx:
        for statement in (
            "UPDATE versions SET data = '{}' WHERE ticker = 'BBB'",
            "UPDATE versions SET scorecard = '[' WHERE ticker = 'CCC'",
            "UPDATE forecasts SET body = '{\"forecast_id\": 3}', as_of_session = '2024-03-05' WHERE ticker = 'DDD'",
        ):
            tx.execute(text(statement))
    result = refresh(trained)
    assert result["refreshed"] == ["AAA", "DDD"]
    told = {entry["ticker"]: entry["problem"] for entry in result["failed"]}
    assert [told[ticker]["code"] for ticker in ("BBB", "CCC", "DDD")] == ["corrupt_record"] * 3
    assert "BBB" in told["BBB"]["detail"] and "first_session" in told["BBB"]["reason"]
    with trained.database.read() as tx:
        due = {ticker: tickers.get(tx, ticker)["next_update_at"] for ticker in told}
        # What took the place of the mangled one can be read.
        assert forecasts.latest(tx, "DDD", 1).edition == result["edition"]
    assert due["BBB"] == due["CCC"] == clock.now + timedelta(seconds=1800)
    assert "DDD" not in {entry["ticker"] for entry in refresh(trained)["failed"]}


def test_the_callers_own_bars_are_answered_and_not_kept(trained: Services, source: TestSource) -> None:
    def issued() -> int:
        with trained.database.read() as tx:
            return len(forecasts.history(tx, "AAA", since=None, before=None, limit=10))

    before, stored = (source.questions, issued()), document(trained)
    same = forecast_bars(
        "AAA", source.bars["AAA"], model="champion", horizon=1, levels=LEVELS, services=trained, now=NOW
    )
    assert same["steps"] == stored["steps"]
    assert same["provenance"]["source"] == "request" and same["provenance"]["snapshot_id"] is None
    assert (source.questions, issued()) == before


def test_what_is_asked_for_must_exist(trained: Services) -> None:
    with pytest.raises(HorizonTooLong) as error:
        document(trained, horizon=2)
    assert error.value.facts == {"have": 1, "need": 2}
    with pytest.raises(NoSuchVersion):
        document(trained, model="7")
    with pytest.raises(NoSuchAlias):
        document(trained, model="challenger")
    with trained.database.read() as tx, pytest.raises(NoModelYet):
        answer(chosen(tx, "ZZZ", "champion"), model="champion", horizon=1, levels=LEVELS, now=NOW)


def test_quantiles_surround_the_point_in_order(trained: Services) -> None:
    step = document(trained)["steps"][0]
    assert list(step["quantiles"]) == ["0.025", "0.1", "0.5", "0.9", "0.975"]
    prices = list(step["quantiles"].values())
    assert prices == sorted(prices) and step["point"] == step["quantiles"]["0.5"]
    assert [band["level"] for band in step["intervals"]] == [80.0, 95.0]
