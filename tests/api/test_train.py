from __future__ import annotations

import json
from datetime import date
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient

from app.api.schemas import orders
from app.api.submission import order_of
from app.domain import spec
from app.domain.order import TrainingOrder
from app.forecasting.services import Services
from app.jobs import queries
from tests.api.rows import AS_OF, csv_of


def payload_of(services: Services, job_id: str) -> dict[str, Any]:
    with services.database.read() as tx:
        return dict(queries.get(tx, job_id).payload)


def test_a_ticker_alone_is_enough(client: TestClient, services: Services) -> None:
    response = client.post("/v1/train", json={"ticker": "aaa"})
    job = response.json()
    assert response.status_code == 202
    assert (job["ticker"], job["kind"], job["state"], job["deduplicated"]) == ("AAA", "train", "queued", False)
    assert response.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['job_id']}"
    assert job["links"]["cancel"] == f"/v1/jobs/{job['job_id']}/cancel"
    assert response.headers["retry-after"] == "1"
    assert (job["attempt"], job["max_attempts"], job["cancel_requested"]) == (0, 3, False)
    assert job["progress"] is job["error"] is job["result"] is job["started_at"] is job["finished_at"] is None
    order = TrainingOrder.from_dict(payload_of(services, job["job_id"]))
    assert (order.data.source, order.timeout_seconds, order.preset) == ("files", 3600, "default")


def test_the_whole_order_of_the_documentation_is_taken(client: TestClient, services: Services) -> None:
    body = {
        "ticker": "AAA",
        "preset": "default",
        "spec": {
            "architecture": "gru",
            "target": {"field": "close", "transform": "log_return"},
            "features": ["returns"],
            "window": 60,
            "horizon": 1,
            "strategy": "direct",
            "units": [32],
            "dropout": 0.1,
            "scaler": "standard",
            "loss": "student_t",
            "optimizer": {"name": "sgd", "learning_rate": 0.001, "momentum": 0.9},
            "activation": "relu",
            "validation_fraction": 0.2,
            "epochs": 50,
            "batch_size": 64,
            "early_stopping": None,
            "seeds": 1,
            "seed": 7,
        },
        "data": {"source": "files", "start": "2015-01-01", "end": None},
        "evaluation": {"kind": "walk_forward", "n_windows": 1, "step_size": 100, "refit": True},
        "promote": "never",
        "priority": 5,
        "timeout_seconds": 600,
    }
    response = client.post("/v1/train", json=body)
    assert response.status_code == 202, response.json()
    order = TrainingOrder.from_dict(payload_of(services, response.json()["job_id"]))
    assert order.spec.early_stopping is None
    assert order.spec.optimizer == spec.Optimizer(name="sgd", learning_rate=0.001, momentum=0.9)
    assert (order.evaluation.n_windows, order.promote, order.timeout_seconds) == (1, "never", 600)


@pytest.mark.parametrize("evaluation", [{"train_end": "2024-12-31"}, {"test_fraction": 0.2}])
def test_a_fixed_evaluation_has_an_end_or_a_share(client: TestClient, evaluation: dict[str, Any]) -> None:
    assert (
        client.post("/v1/train", json={"ticker": "AAA", "evaluation": {"kind": "fixed"} | evaluation}).status_code
        == 202
    )
    assert client.post("/v1/train", json={"ticker": "AAA", "evaluation": {"kind": "fixed"}}).status_code == 422


def test_an_evaluation_of_no_kind_is_told_both_kinds(client: TestClient) -> None:
    problem = client.post("/v1/train", json={"ticker": "AAA", "evaluation": {"kind": "cross"}}).json()
    told = {"detail": "The kind of an evaluation is walk_forward or fixed", "pointer": "/evaluation"}
    assert (problem["status"], problem["errors"]) == (422, [told])


def test_the_same_work_is_not_queued_twice(client: TestClient) -> None:
    first = client.post("/v1/train", json={"ticker": "AAA"}).json()
    again = client.post("/v1/train", json={"ticker": "AAA", "priority": 3, "preset": "default"})
    assert again.status_code == 202
    assert (again.json()["job_id"], again.json()["deduplicated"]) == (first["job_id"], True)
    other = client.post("/v1/train", json={"ticker": "AAA", "spec": {"window": 30}}).json()
    assert other["job_id"] != first["job_id"]


def test_several_tickers_are_several_jobs(client: TestClient) -> None:
    response = client.post("/v1/train", json={"tickers": ["bbb", "AAA"]})
    assert response.status_code == 202
    assert [job["ticker"] for job in response.json()["items"]] == ["BBB", "AAA"]
    assert "location" not in response.headers


def test_an_idempotency_key_replays_the_first_answer(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = client.post("/v1/train", json={"ticker": "AAA"}, headers=headers)
    again = client.post("/v1/train", json={"ticker": "AAA"}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    other = client.post("/v1/train", json={"ticker": "BBB"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(client.get("/v1/jobs").json()["items"]) == 1


def test_a_first_answer_is_replayed_though_it_would_be_refused_now(client: TestClient, services: Services) -> None:
    headers, asked = {"Idempotency-Key": "k-3"}, {"ticker": "AAA"}
    first = client.post("/v1/train", json=asked, headers=headers)
    folder = services.settings.files_dir
    assert folder
    (folder / "AAA.csv").unlink()
    assert client.post("/v1/train", json=asked).status_code == 422
    again = client.post("/v1/train", json=asked, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())


def test_a_refused_order_does_not_use_up_its_key(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k-2"}
    assert client.post("/v1/train", json={"ticker": "NOPE"}, headers=headers).status_code == 422
    assert client.post("/v1/train", json={"ticker": "AAA"}, headers=headers).status_code == 202


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "invalid_request", "/ticker"),
        ({"ticker": "../etc"}, "invalid_request", "/ticker"),
        ({"ticker": "AAA", "tickers": ["BBB"]}, "invalid_request", "/ticker"),
        ({"tickers": []}, "invalid_request", "/tickers"),
        ({"tickers": ["AAA", "aaa"]}, "invalid_request", "/tickers"),
        ({"ticker": "NOPE"}, "unknown_ticker", "/ticker"),
        ({"tickers": ["AAA", "NOPE"]}, "unknown_ticker", "/tickers/1"),
        ({"ticker": "AAA", "data": {"source": "moon"}}, "unknown_source", "/data/source"),
        ({"ticker": "AAA", "data": {"start": "2015-13-01"}}, "invalid_request", "/data/start"),
        ({"ticker": "AAA", "preset": "best"}, "unknown_preset", "/preset"),
        ({"ticker": "AAA", "spec": {"architecture": "transformer"}}, "unknown_architecture", "/spec/architecture"),
        ({"ticker": "AAA", "spec": {"windows": 3}}, "invalid_request", "/spec/windows"),
        ({"ticker": "AAA", "spec": {"window": 1001}}, "invalid_request", "/spec/window"),
        ({"ticker": "AAA", "spec": {"window": "60"}}, "invalid_request", "/spec/window"),
        ({"ticker": "AAA", "spec": {"units": [0]}}, "invalid_request", "/spec/units/0"),
        ({"ticker": "AAA", "spec": {"seeds": 11}}, "invalid_request", "/spec/seeds"),
        (
            {"ticker": "AAA", "spec": {"optimizer": {"learning_rate": 0}}},
            "invalid_request",
            "/spec/optimizer/learning_rate",
        ),
        ({"ticker": "AAA", "spec": {"target": {"transform": "price"}}}, "invalid_spec", "/spec/loss"),
        ({"ticker": "AAA", "evaluation": {"n_windows": 21}}, "invalid_request", "/evaluation/n_windows"),
        ({"ticker": "AAA", "timeout_seconds": 9}, "invalid_request", "/timeout_seconds"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(
    client: TestClient, body: dict[str, Any], code: str, pointer: str
) -> None:
    response = client.post("/v1/train", json=body)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert client.get("/v1/jobs").json()["items"] == []


def test_a_history_too_short_is_refused_with_the_numbers(client: TestClient) -> None:
    problem = client.post("/v1/train", json={"ticker": "SHORT"}).json()
    assert (problem["status"], problem["code"], problem["have"]) == (422, "not_enough_history", 60)
    assert problem["need"] > 60


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "not_enough_history"), ("Date,Close\n", "not_enough_history"), ("hello\n", "invalid_bars")],
    ids=["nothing", "only a header", "no header"],
)
def test_a_price_file_without_prices_is_refused_by_its_name(
    client: TestClient, services: Services, text: str, code: str
) -> None:
    assert services.settings.files_dir
    (services.settings.files_dir / "HOLLOW.csv").write_text(text)
    for asked, pointer in (({"ticker": "HOLLOW"}, ""), ({"tickers": ["AAA", "HOLLOW"]}, "/tickers/1")):
        problem = client.post("/v1/train", json=asked).json()
        assert (problem["status"], problem["code"], problem["ticker"]) == (422, code, "HOLLOW")
        assert problem["errors"][0]["pointer"] == pointer
        assert problem["detail"].startswith("HOLLOW.csv: ")


def volume_free(services: Services, ticker: str, *, bars: int = 1600, last: date = AS_OF) -> None:
    """Write a price file without any volume, as indices have it."""
    head, *rows = csv_of(bars, last=last).splitlines()
    assert services.settings.files_dir
    without = [f"{row.rpartition(',')[0]},0" for row in rows]
    (services.settings.files_dir / f"{ticker}.csv").write_text("\n".join([head, *without]) + "\n")


@pytest.mark.parametrize(
    ("spec", "code", "pointer"),
    [
        ({"features": ["magic"]}, "invalid_spec", "/spec/features"),
        ({"target": {"field": "magic"}}, "invalid_spec", "/spec/target/field"),
        ({"targets": [{"field": "close"}, {"field": "magic"}]}, "invalid_spec", "/spec/targets/1/field"),
        ({"peers": ["BBB"], "peer_features": ["magic"]}, "invalid_spec", "/spec/{peer}"),
    ],
)
@pytest.mark.parametrize(("source", "peer"), [("files", "peers/0"), ("yahoo", "peer_features")])
def test_columns_that_nobody_has_are_refused_at_once_wherever_the_bars_are(
    client: TestClient, spec: dict[str, Any], code: str, pointer: str, source: str, peer: str
) -> None:
    problem = client.post("/v1/train", json={"ticker": "AAA", "spec": spec, "data": {"source": source}}).json()
    assert (problem["status"], problem["code"]) == (422, code)
    assert problem["errors"][0]["pointer"] == pointer.format(peer=peer)
    assert "close" in problem["known"]
    assert client.get("/v1/jobs").json()["items"] == []


def test_a_source_outside_is_asked_for_nothing_at_submission(client: TestClient) -> None:
    body = {"ticker": "NEWCO", "spec": {"peers": ["OTHER"]}, "data": {"source": "yahoo"}}
    assert client.post("/v1/train", json=body).status_code == 202


@pytest.mark.parametrize(("source", "peer"), [("files", "NOPE"), ("sample", "NOPE"), ("upload", "AAA")])
def test_a_peer_that_the_source_does_not_have_is_refused_by_name(client: TestClient, source: str, peer: str) -> None:
    ticker = {"files": "AAA", "sample": "^GSPC", "upload": "MINE"}[source]
    client.post("/v1/tickers/MINE/bars", content=csv_of(1600), headers={"content-type": "text/csv"})
    body = {"spec": {"peers": [peer]}, "data": {"source": source}}
    for asked in ({"ticker": ticker}, {"tickers": [ticker]}):
        problem = client.post("/v1/train", json=body | asked).json()
        assert problem["code"] == ("no_bars_yet" if source == "upload" else "unknown_ticker")
        assert (problem["peer"], peer in problem["detail"]) == (peer, True)
        if problem["status"] == 422:
            assert problem["errors"][0]["pointer"] == "/spec/peers/0"


def test_an_index_without_volume_is_refused_where_the_volume_is_read(client: TestClient, services: Services) -> None:
    volume_free(services, "IDX")
    spec = {"features": ["close", "volume_change"]}
    own = client.post("/v1/train", json={"ticker": "IDX", "spec": spec}).json()
    assert (own["status"], own["code"], own["field"]) == (422, "invalid_bars", "volume")
    assert (own["have"], own["need"]) == (0, 2)
    as_peer = client.post("/v1/train", json={"ticker": "AAA", "spec": spec | {"peers": ["IDX"]}}).json()
    assert (as_peer["code"], as_peer["field"], as_peer["peer"]) == ("invalid_bars", "volume", "IDX")
    assert as_peer["errors"][0]["pointer"] == "/spec/peers/0"
    read = spec | {"peers": ["IDX"], "peer_features": ["close"]}
    assert client.post("/v1/train", json={"ticker": "AAA", "spec": read}).status_code == 202


def test_peers_that_share_no_session_are_refused_with_the_numbers(client: TestClient, services: Services) -> None:
    volume_free(services, "OLD", last=date(2012, 3, 1))
    problem = client.post("/v1/train", json={"ticker": "AAA", "spec": {"peers": ["BBB", "OLD"]}}).json()
    assert (problem["status"], problem["code"], problem["have"]) == (422, "not_enough_history", 0)
    assert (problem["need"], problem["peers"]) == (255, ["BBB", "OLD"])
    assert problem["errors"][0]["pointer"] == "/spec/peers"
    few = client.post("/v1/train", json={"ticker": "AAA", "spec": {"peers": ["SHORT"]}}).json()
    assert (few["have"], few["need"]) == (60, 255)
    assert client.post("/v1/train", json={"ticker": "AAA", "spec": {"peers": ["BBB"]}}).status_code == 202


def test_a_horizon_that_the_test_part_cannot_bear_is_refused_with_the_numbers(client: TestClient) -> None:
    body = {
        "ticker": "AAA",
        "spec": {"features": ["close"], "strategy": "recursive", "horizon": 81},
        "evaluation": {"kind": "fixed", "test_fraction": 0.05},
    }
    problem = client.post("/v1/train", json=body).json()
    assert (problem["status"], problem["code"]) == (422, "not_enough_history")
    assert (problem["have"], problem["need"], problem["errors"][0]["pointer"]) == (80, 81, "/spec/horizon")
    body["spec"] = {"features": ["close"], "strategy": "recursive", "horizon": 80}
    assert client.post("/v1/train", json=body).status_code == 202


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, (date(2006, 1, 1), date(2017, 12, 31))),
        ({"end": None}, (date(2006, 1, 1), None)),
        ({"start": None, "end": None, "source": None}, (None, None)),
        ({"start": "2010-01-01"}, (date(2010, 1, 1), date(2017, 12, 31))),
    ],
)
def test_an_open_end_said_on_purpose_overrides_that_of_the_preset(
    services: Services, data: dict[str, Any], expected: tuple[date | None, date | None]
) -> None:
    text = json.dumps({"ticker": "AAA", "preset": "ibm-gru", "data": data})
    made = order_of(orders.TrainOne.model_validate_json(text), "AAA", services=services)
    assert ((made.data.start, made.data.end), made.data.source) == (expected, "files")


def test_uploaded_bars_can_be_trained_on_once_they_are_there(client: TestClient) -> None:
    body = {"ticker": "MINE", "data": {"source": "upload"}}
    missing = client.post("/v1/train", json=body)
    assert (missing.status_code, missing.json()["code"]) == (404, "no_bars_yet")
    client.post("/v1/tickers/MINE/bars", content=csv_of(1600), headers={"content-type": "text/csv"})
    assert client.post("/v1/train", json=body).status_code == 202


def test_the_choices_of_a_spec_are_those_of_the_domain() -> None:
    fields = orders.SpecIn.model_fields
    assert set(get_args(fields["activation"].annotation)) == set(spec.ACTIVATIONS)
    assert set(get_args(fields["scaler"].annotation)) == set(spec.SCALERS)
    assert set(get_args(fields["loss"].annotation)) == set(spec.LOSSES)
    assert set(get_args(orders.TargetIn.model_fields["transform"].annotation)) == set(spec.TRANSFORMS)
    assert set(get_args(orders.OptimizerIn.model_fields["name"].annotation)) == set(spec.OPTIMIZERS)


def test_the_defaults_shown_are_those_of_the_domain() -> None:
    shown, meant = orders.SpecIn().model_dump(), spec.NetworkSpec().to_dict()
    assert shown == meant


def test_samples_that_validation_and_a_far_reach_use_up_are_missed_before_anything_is_queued(
    client: TestClient,
) -> None:
    body = {"ticker": "AAA", "spec": {"horizon": 95}, "evaluation": {"kind": "fixed", "test_fraction": 0.85}}
    problem = client.post("/v1/train", json=body).json()
    assert (problem["status"], problem["code"], problem["have"]) == (422, "not_enough_history", 1600)
    assert problem["need"] > 1600
