"""Handing in backtests: the orders of trainings, refused for the same reasons, and kept apart from them."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.domain.order import TrainingOrder
from app.forecasting.services import Services
from app.jobs import leases, queries
from tests.api.rows import CARD


def backtest(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/backtest", json={"ticker": "AAA", **body})


def order_of(services: Services, job: dict[str, Any]) -> TrainingOrder:
    with services.database.read() as tx:
        return TrainingOrder.from_dict(queries.get(tx, job["job_id"]).payload)


def test_a_ticker_alone_is_enough(client: TestClient, services: Services) -> None:
    response = backtest(client)
    job = response.json()
    assert response.status_code == 202
    assert (job["ticker"], job["kind"], job["state"], job["deduplicated"]) == ("AAA", "backtest", "queued", False)
    assert response.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['job_id']}"
    assert order_of(services, job).evaluation.refit
    assert client.get("/v1/jobs?kind=backtest").json()["items"][0]["job_id"] == job["job_id"]


def test_the_cheap_mode_is_asked_for_by_name(client: TestClient, services: Services) -> None:
    evaluation = {"kind": "walk_forward", "n_windows": 2, "step_size": 60, "refit": False}
    order = order_of(services, backtest(client, evaluation=evaluation, spec={"window": 10}).json())
    assert (order.evaluation.n_windows, order.evaluation.refit, order.spec.window) == (2, False, 10)


def test_judging_an_order_is_another_job_than_training_it(client: TestClient) -> None:
    judged, trained = backtest(client).json(), client.post("/v1/train", json={"ticker": "AAA"}).json()
    assert judged["job_id"] != trained["job_id"]
    assert (backtest(client).json()["job_id"], backtest(client).json()["deduplicated"]) == (judged["job_id"], True)
    assert client.post("/v1/train", json={"ticker": "AAA"}).json()["job_id"] == trained["job_id"]


def test_several_tickers_are_several_jobs(client: TestClient) -> None:
    response = client.post("/v1/backtest", json={"tickers": ["bbb", "AAA"]})
    assert response.status_code == 202
    assert [(job["ticker"], job["kind"]) for job in response.json()["items"]] == [
        ("BBB", "backtest"),
        ("AAA", "backtest"),
    ]


def test_an_idempotency_key_replays_the_first_answer_and_is_for_this_work_alone(client: TestClient) -> None:
    headers = {"Idempotency-Key": "b-1"}
    first = client.post("/v1/backtest", json={"ticker": "AAA"}, headers=headers)
    again = client.post("/v1/backtest", json={"ticker": "AAA"}, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    train = client.post("/v1/train", json={"ticker": "AAA"}, headers=headers)
    assert (train.status_code, train.json()["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"ticker": "NOPE"}, 422, "unknown_ticker"),
        ({"data": {"source": "moon"}}, 422, "unknown_source"),
        ({"preset": "best"}, 422, "unknown_preset"),
        ({"ticker": "SHORT"}, 422, "not_enough_history"),
        ({"spec": {"features": ["moods"]}}, 422, "invalid_spec"),
        ({"promote": "never"}, 422, "invalid_request"),
        ({"preset": "pooled"}, 422, "invalid_spec"),
        ({"universe": ["AAA", "BBB"]}, 422, "invalid_request"),
    ],
)
def test_what_cannot_work_is_refused_before_any_job(client: TestClient, body, status, code) -> None:
    response = backtest(client, **body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert client.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize("path", ["/v1/backtest", "/v1/tune"])
@pytest.mark.parametrize("asked", [{"universe": ["AAA", "BBB"]}, {"ticker": "AAA"}, {"tickers": ["AAA"]}], ids=str)
def test_the_pooled_preset_is_refused_by_name_however_it_is_asked_for(client: TestClient, path, asked) -> None:
    problem = client.post(path, json={"preset": "pooled", **asked}).json()
    assert (problem["status"], problem["code"], problem["errors"][0]["pointer"]) == (422, "invalid_spec", "/preset")
    assert "one network for many tickers" in problem["detail"]


def test_the_result_is_shown_as_documented(client: TestClient, services: Services) -> None:
    job_id = backtest(client).json()["job_id"]
    data = {"source": "files", "snapshot_id": "sha256:0", "rows": 900, "peers": {}}
    result = {
        **{"ticker": "AAA", "preset": "default", "spec": {"window": 20}, "evaluation": {"refit": False}},
        "data": {**data, "first_session": "2010-01-04", "last_session": "2015-01-02"},
        **CARD.to_dict(),
        "earned_champion": False,
        "seconds": {"backtest": 12.5, "judge": 0.5},
    }
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=60, now=services.clock())
        assert leases.succeed(tx, job_id, job.fence, result, now=services.clock())
    shown = client.get(f"/v1/jobs/{job_id}").json()["result"]
    assert shown["contestants"] == result["contestants"]
    assert shown == {**result, "reasons": [*CARD.reasons]} | {
        name: shown[name] for name in ("skill", "calibration", "confidence_set")
    }
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["BacktestOut"]["required"]) == set(result)
    assert {"$ref": "#/components/schemas/BacktestOut"} in schemas["JobOut"]["properties"]["result"]["anyOf"]
