"""Handing in searches: what is taken, what is refused with its reason before any work."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.domain.search import TuningOrder
from app.forecasting.services import Services
from app.jobs import leases, queries


def payload_of(services: Services, job_id: str) -> dict[str, Any]:
    with services.database.read() as tx:
        return dict(queries.get(tx, job_id).payload)


def order_of(services: Services, job: dict[str, Any]) -> TuningOrder:
    return TuningOrder.from_dict(payload_of(services, job["job_id"]))


def tune(client: TestClient, search: dict[str, Any] | None = None, **body: Any) -> Any:
    return client.post("/v1/tune", json={"ticker": "AAA", **body} | ({"search": search} if search else {}))


def test_a_ticker_alone_is_enough(client: TestClient, services: Services) -> None:
    response = tune(client)
    job = response.json()
    assert response.status_code == 202
    assert (job["ticker"], job["kind"], job["state"], job["deduplicated"]) == ("AAA", "tune", "queued", False)
    assert response.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['job_id']}"
    assert response.headers["retry-after"] == "1"
    search = order_of(services, job).search
    assert (search.method, search.max_epochs, search.budget_seconds) == ("hyperband", 27, 1800)
    assert set(search.space) == {"units", "dropout", "optimizer.learning_rate"}
    assert client.get("/v1/jobs?kind=tune").json()["items"][0]["job_id"] == job["job_id"]


def test_the_whole_search_of_the_documentation_is_taken(client: TestClient, services: Services) -> None:
    search = {
        "method": "random",
        "max_epochs": 9,
        "factor": 3,
        "budget_seconds": 120,
        "trials": 5,
        "seed": 3,
        "space": {
            "units": [[32], [64], [128, 64.0]],
            "dropout": [0, 0.1, [0.2]],
            "optimizer": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "clip_norm": [None, 1]},
            "window": {"low": 10, "high": 60, "step": 10},
            "batch_size": {"low": 16, "high": 64, "log": True},
            "architecture": ["lstm", "gru"],
            "features": [["returns"], ["range"]],
        },
    }
    response = tune(client, search, spec={"units": [16]})
    assert response.status_code == 202, response.json()
    taken = order_of(services, response.json()).search
    assert (taken.method, taken.max_epochs, taken.trials, taken.seed) == ("random", 9, 5, 3)
    assert taken.space["units"].values == ([32], [64], [128, 64])
    assert [type(size) for size in taken.space["units"].values[2]] == [int, int]
    assert taken.space["window"].values == (10, 20, 30, 40, 50, 60)


def test_a_preset_brings_its_search(client: TestClient, services: Services) -> None:
    own = {"target": {"field": "close"}, "features": ["close"]}
    body = {"preset": "msft-hyperband", "data": {"source": "files", "start": None}, "spec": own}
    job = tune(client, {"budget_seconds": 50}, **body).json()
    search = order_of(services, job).search
    assert (search.method, search.budget_seconds, search.space["dropout"].values) == ("hyperband", 50, (0.0, 0.1, 0.2))


def test_the_time_limit_of_the_job_leaves_room_for_the_budget(client: TestClient, services: Services) -> None:
    limits = {}
    for budget in (60, 7200):
        job = tune(client, {"budget_seconds": budget}).json()
        limits[budget] = payload_of(services, job["job_id"])["timeout_seconds"]
    assert limits == {60: 3600, 7200: 7500}
    asked = tune(client, {"budget_seconds": 60}, timeout_seconds=400, spec={"window": 21}).json()
    assert payload_of(services, asked["job_id"])["timeout_seconds"] == 400


def test_the_same_search_is_not_queued_twice_and_is_no_training(client: TestClient) -> None:
    first = tune(client).json()
    assert (tune(client).json()["job_id"], tune(client).json()["deduplicated"]) == (first["job_id"], True)
    assert tune(client, {"seed": 9}).json()["job_id"] != first["job_id"]
    assert client.post("/v1/train", json={"ticker": "AAA"}).json()["job_id"] != first["job_id"]


def test_several_tickers_are_several_jobs(client: TestClient) -> None:
    response = client.post(
        "/v1/tune", json={"tickers": ["bbb", "AAA"], "search": {"method": "grid", "space": {"units": [[4]]}}}
    )
    assert response.status_code == 202
    assert [(job["ticker"], job["kind"]) for job in response.json()["items"]] == [("BBB", "tune"), ("AAA", "tune")]


def test_an_idempotency_key_replays_the_first_answer(client: TestClient) -> None:
    headers = {"Idempotency-Key": "t-1"}
    first = client.post("/v1/tune", json={"ticker": "AAA"}, headers=headers)
    again = client.post("/v1/tune", json={"ticker": "AAA"}, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    other = client.post("/v1/tune", json={"ticker": "AAA", "search": {"seed": 2}}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    train = client.post("/v1/train", json={"ticker": "AAA"}, headers=headers)
    assert train.json()["code"] == "idempotency_mismatch"


def test_a_search_is_cancelled_like_any_job(client: TestClient) -> None:
    job = tune(client).json()
    assert client.post(job["links"]["cancel"]).json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("space", "code", "pointer"),
    [
        ({"colour": ["red"]}, "invalid_spec", "/search/space/colour"),
        ({"horizon": [1, 2]}, "invalid_spec", "/search/space/horizon"),
        ({"units": []}, "invalid_spec", "/search/space/units"),
        ({"units": [["a"]]}, "invalid_spec", "/search/space/units"),
        ({"units": [[8], [2000]]}, "invalid_spec", "/search/space/units"),
        ({"units": ["8"]}, "invalid_spec", "/search/space/units"),
        ({"architecture": ["gru", "transformer"]}, "unknown_architecture", "/search/space/architecture"),
        ({"architecture": [None]}, "invalid_spec", "/search/space/architecture"),
        ({"features": [["returns"], ["moods"]]}, "invalid_spec", "/search/space/features"),
        ({"activation": ["swish"]}, "invalid_spec", "/search/space/activation"),
        ({"window": [20, 1001]}, "invalid_spec", "/search/space/window"),
        ({"window": {"low": 1, "high": 60}}, "invalid_spec", "/search/space/window"),
        ({"window": {"low": 60, "high": 10}}, "invalid_spec", "/search/space/window/low"),
        ({"dropout": {"low": 0, "high": 2}}, "invalid_spec", "/search/space/dropout"),
        ({"dropout": {"low": 0, "high": 0.5, "log": True}}, "invalid_spec", "/search/space/dropout/low"),
        ({"optimizer.learning_rate": [0]}, "invalid_spec", "/search/space/optimizer.learning_rate"),
        ({"optimizer": {"learning_rate": [0]}}, "invalid_spec", "/search/space/optimizer/learning_rate"),
        ({"optimizer": {"name": ["magic"]}}, "invalid_spec", "/search/space/optimizer/name"),
        ({}, "invalid_spec", "/search/space"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_at_once(
    client: TestClient, space: dict[str, Any], code: str, pointer: str
) -> None:
    response = tune(client, {"method": "random", "space": space})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert client.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"search": {"method": "anneal"}}, "invalid_request", "/search/method"),
        ({"search": {"max_epochs": 0}}, "invalid_request", "/search/max_epochs"),
        ({"search": {"factor": 1}}, "invalid_request", "/search/factor"),
        ({"search": {"budget_seconds": 1}}, "invalid_request", "/search/budget_seconds"),
        ({"search": {"colour": "red"}}, "invalid_request", "/search/colour"),
        ({"search": {"space": [1]}}, "invalid_request", "/search/space"),
        ({"search": {"max_epochs": 2}}, "invalid_spec", "/search/max_epochs"),
        ({"search": {"method": "grid"}}, "invalid_spec", "/search/space/optimizer.learning_rate/step"),
        ({"search": {"budget_seconds": 600}, "timeout_seconds": 600}, "invalid_spec", "/timeout_seconds"),
        ({"spec": {"windows": 3}}, "invalid_request", "/spec/windows"),
        ({"ticker": "NOPE"}, "unknown_ticker", "/ticker"),
        ({"preset": "best"}, "unknown_preset", "/preset"),
        ({"preset": "pooled"}, "invalid_spec", "/preset"),
        ({"data": {"source": "moon"}}, "unknown_source", "/data/source"),
    ],
)
def test_what_contradicts_itself_is_refused_at_once(
    client: TestClient, body: dict[str, Any], code: str, pointer: str
) -> None:
    response = client.post("/v1/tune", json={"ticker": "AAA", **body})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, code), problem
    assert problem["errors"][0]["pointer"] == pointer
    assert client.get("/v1/jobs").json()["items"] == []


def test_a_grid_too_large_is_refused_with_its_numbers(client: TestClient) -> None:
    steps = {"low": 2, "high": 40, "step": 1}
    problem = tune(client, {"method": "grid", "space": {"window": steps, "batch_size": steps}}).json()
    assert (problem["code"], problem["have"], problem["need"]) == ("invalid_spec", 1521, 500)


def test_a_history_too_short_for_the_longest_window_is_refused_with_the_numbers(client: TestClient) -> None:
    wide = {"window": [20, 1000]}
    assert client.post("/v1/train", json={"ticker": "AAA"}).status_code == 202
    walk = {"kind": "fixed", "test_fraction": 0.4}
    problem = tune(client, {"method": "random", "space": wide}, evaluation=walk).json()
    assert (problem["status"], problem["code"]) == (422, "not_enough_history")
    assert problem["need"] > problem["have"]


def test_what_a_search_keeps_is_not_shown_with_its_job(client: TestClient, services: Services) -> None:
    job_id = tune(client).json()["job_id"]
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=60, now=services.clock())
        assert leases.keep_checkpoint(tx, job_id, job.fence, {"trials": [1]})
    assert "checkpoint" not in client.get(f"/v1/jobs/{job_id}").json()


def test_the_training_of_the_best_spec_is_a_body_that_train_takes(client: TestClient, services: Services) -> None:
    order = order_of(services, tune(client, spec={"units": [16, 8], "dropout": [0.1, 0.2]}).json())
    best = order.spec_of({"units": [8, 4], "optimizer.learning_rate": 0.003})
    body = order.training_of(best, order.order.evaluation)
    response = client.post("/v1/train", json=body)
    assert response.status_code == 202, response.json()
    trained = payload_of(services, response.json()["job_id"])["spec"]
    assert (trained["units"], trained["dropout"], trained["epochs"]) == ([8, 4], [0.1, 0.2], 27)


def test_the_result_is_shown_as_it_was_kept_and_as_it_is_documented(client: TestClient, services: Services) -> None:
    job_id = tune(client).json()["job_id"]
    trial = {"rank": 1, "state": "complete", "value": 0.005, "epochs": 3, "seconds": 1.5, "changes": {"units": [4]}}
    result = {
        "method": "grid",
        "metric": "crps",
        "trials": 1,
        "planned_trials": 1,
        "pruned": 0,
        "seconds": 2.25,
        "budget_used_up": False,
        "validation": {"sessions": 90, "first_session": "2020-01-02", "last_session": "2020-05-12"},
        "baseline": {"name": "ewma_t", "value": 0.0051},
        "leaderboard": [trial],
        "best_spec": {"units": [4]},
        "train": {"ticker": "AAA"},
    }
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=60, now=services.clock())
        assert leases.succeed(tx, job_id, job.fence, result, now=services.clock())
    assert client.get(f"/v1/jobs/{job_id}").json()["result"] == result
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["SearchOut"]["required"]) == set(result)
    assert {"$ref": "#/components/schemas/SearchOut"} in schemas["JobOut"]["properties"]["result"]["anyOf"]


def test_more_searches_at_once_than_can_be_checked_are_refused(client: TestClient) -> None:
    answer = client.post("/v1/tune", json={"tickers": [f"T{n}" for n in range(51)]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/tickers"


def test_a_validation_part_too_small_to_compare_on_is_refused_with_the_numbers(client: TestClient) -> None:
    problem = tune(client, spec={"validation_fraction": 0.01, "early_stopping": None}).json()
    assert (problem["status"], problem["code"], problem["have"]) == (422, "not_enough_history", 1600)
    assert problem["need"] > 3000
