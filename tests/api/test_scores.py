"""The record summed up over HTTP."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.schemas.scores import ScoresOut
from app.domain.score import MISSING
from app.forecasting.services import Services
from app.registry import drift, scores
from tests.api.rows import AS_OF, NOW, add_forecast, add_version
from tests.registry.models import steps_of
from tests.registry.test_scores import came


def live_through(services: Services, days: int, *, ticker: str = "AAA", **changes: Any) -> None:
    """Let a model have forecast ``days`` sessions that all came."""
    for day in range(days):
        issued = add_forecast(
            services, ticker, as_of_session=AS_OF - timedelta(days=day), issued_at=NOW - timedelta(days=day), **changes
        )
        with services.database.write() as tx:
            (step,) = scores.of_forecasts(tx, [issued.forecast_id]).values()
            session = step.target_session - timedelta(days=day)
            scores.settle(tx, [came(replace(step, target_session=session), day + 1)])


def asked(client: TestClient, query: str = "") -> dict[str, Any]:
    response = client.get(f"/v1/scores{query}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert ScoresOut.model_validate(body).model_dump(mode="json").keys() == body.keys()
    return body


def test_a_record_is_summed_up_by_ticker_and_model_and_over_all(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    add_version(services, "BBB")
    live_through(services, 5)
    live_through(services, 4, version=None)
    live_through(services, 3, ticker="BBB")
    body = asked(client)
    assert (body["origin"], body["window"]) == ("live", 250)
    named = [(item["ticker"], item["model"], item["n"]) for item in body["items"]]
    assert named == [
        ("AAA", {"version": None, "aliases": []}, 4),
        ("AAA", {"version": 1, "aliases": ["champion"]}, 5),
        ("BBB", {"version": 1, "aliases": []}, 3),
    ]
    assert [(all_["model"], all_["tickers"], all_["n"]) for all_ in body["overall"]] == [
        ("versions", 2, 8),
        ("baseline", 1, 4),
    ]
    item = body["items"][1]
    assert [entry["level"] for entry in item["coverage"]] == [80, 90, 95]
    assert all(0 <= entry["raw"] <= 1 and entry["n"] == 5 for entry in item["coverage"])
    crps = [came(_step(services), day + 1).crps or 0.0 for day in range(5)]
    assert item["crps"] == pytest.approx(sum(crps) / 5)
    one = asked(client, "?ticker=bbb&window=2")["items"]
    assert [(item["ticker"], item["n"]) for item in one] == [("BBB", 2)]


def _step(services: Services) -> Any:
    with services.database.read() as tx:
        return steps_of(tx, "AAA", source="files")[0]


def test_a_session_that_never_came_is_counted_apart(client: TestClient, services: Services) -> None:
    add_version(services)
    live_through(services, 2)
    with services.database.write() as tx:
        step = scores.record(tx, origin="live", ticker="AAA", version=1, window=9)[0]
        scores.settle(tx, [replace(step, state=MISSING)])
    (item,) = asked(client, "?ticker=AAA")["items"]
    assert (item["n"], item["missing"], item["coverage"][0]["n"]) == (1, 1, 1)


def test_origins_are_told_apart(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    live_through(services, 2)
    assert asked(client, "?origin=backfill")["items"] == []
    (item,) = asked(client, "?origin=backtest")["items"]
    assert (item["n"], item["skill"], item["crps"]) == (1000, -0.001, 0.006)
    assert item["qlike"] == 0.9
    assert item["coverage"] == [{"level": 80, "raw": 0.803, "displayed": None, "n": 1000}]
    assert client.get("/v1/scores?origin=mixed").status_code == 422
    assert client.get("/v1/scores?window=0").status_code == 422


def test_a_page_is_some_tickers_and_what_all_have_added_up_to(client: TestClient, services: Services) -> None:
    for days, ticker in enumerate(("AAA", "BBB", "CCC"), start=1):
        add_version(services, ticker, alias="champion")
        live_through(services, days, ticker=ticker)
    live_through(services, 2, version=None)
    whole = asked(client)
    assert [(part["model"], part["tickers"], part["n"]) for part in whole["overall"]] == [
        ("versions", 3, 6),
        ("baseline", 1, 2),
    ]
    first = client.get("/v1/scores?page_size=2").json()
    rest = client.get(f"/v1/scores?page_size=2&page_token={first['next_page_token']}").json()
    assert "next_page_token" not in rest
    assert [item["ticker"] for item in first["items"]] == ["AAA", "AAA", "BBB"]
    assert first["items"] + rest["items"] == whole["items"]
    assert first["overall"] == rest["overall"] == whole["overall"]
    narrow = client.get("/v1/scores?page_size=1&window=1").json()
    assert [item["n"] for item in narrow["items"]] == [1, 1]
    assert [part["n"] for part in narrow["overall"]] == [3, 1]
    tested = client.get("/v1/scores?origin=backtest&page_size=2").json()
    rest = client.get(f"/v1/scores?origin=backtest&page_token={tested['next_page_token']}").json()
    assert [item["ticker"] for item in tested["items"] + rest["items"]] == ["AAA", "BBB", "CCC"]
    assert tested["overall"] == rest["overall"] == []
    assert client.get("/v1/scores?page_token=AAA").json()["code"] == "invalid_page_token"


def test_of_one_ticker_its_models_are_added_up(client: TestClient, services: Services) -> None:
    for ticker in ("AAA", "BBB"):
        add_version(services, ticker)
        live_through(services, 2, ticker=ticker)
    live_through(services, 3, version=2)
    (overall,) = asked(client, "?ticker=AAA")["overall"]
    assert (overall["model"], overall["tickers"], overall["n"]) == ("versions", 1, 5)


def test_signs_of_drift_stand_beside_the_scores_of_their_version(client: TestClient, services: Services) -> None:
    add_version(services)
    live_through(services, 1)
    sign = {
        **{"name": "inputs", "state": "alarm", "measure": "psi", "value": 0.9, "n": 60, "need": 60},
        **{"limits": {"warn": 0.1, "alarm": 0.25}, "detail": {"columns": {"close": 0.9}}},
    }
    with services.database.write() as tx:
        for _ in range(2):
            drift.write(tx, "AAA", 1, {"state": "alarm", "signs": [sign]}, now=NOW)
    (item,) = asked(client)["items"]
    assert item["drift"] == {"state": "alarm", "checked_at": "2026-11-21T12:00:00Z", "signs": [sign]}


def test_without_any_record_there_is_nothing_to_sum_up(client: TestClient, services: Services) -> None:
    assert asked(client) == {"origin": "live", "window": 250, "overall": [], "items": []}
    assert client.get("/v1/scores?ticker=AAA").json()["code"] == "no_model_yet"
    add_version(services)
    assert asked(client, "?ticker=AAA")["items"] == []
