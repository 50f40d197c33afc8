"""What an order may say of its network, and what the presets fill in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.schemas.orders import MemberIn, TrainOne
from app.api.submission import order_of
from app.domain.order import TrainingOrder
from app.domain.presets import PRESETS
from app.domain.spec import MEMBER_FIELDS
from app.forecasting.services import Services
from app.jobs import queries

HIGHS = {"field": "high", "transform": "price"}


def order(services: Services, **body: Any) -> TrainingOrder:
    return order_of(TrainOne.model_validate_json(json.dumps({"ticker": "AAA", **body})), "AAA", services=services)


def test_everything_that_a_network_can_be_is_taken(client: TestClient, services: Services) -> None:
    spec = {
        "targets": [{"field": "close"}, {"field": "high"}],
        "features": ["returns", "close"],
        "strategy": "recursive",
        "horizon": 30,
        "dropout": [0.0, 0.2],
        "units": [8, 4],
        "optimizer": {"clip_norm": None},
        "members": [{"architecture": "lstm", "dropout": 0.1}, {"epochs": 3, "optimizer": {"learning_rate": 0.01}}],
    }
    response = client.post("/v1/train", json={"ticker": "AAA", "spec": spec})
    assert response.status_code == 202, response.json()
    with services.database.read() as tx:
        made = TrainingOrder.from_dict(queries.get(tx, response.json()["job_id"]).payload).spec
    assert [target.field for target in made.targets] == ["close", "high"]
    assert (made.strategy, made.horizon, made.dropouts) == ("recursive", 30, (0.0, 0.2))
    first, second = made.members
    assert (first.architecture, first.dropout, first.epochs) == ("lstm", 0.1, 30)
    assert (second.architecture, second.units, second.epochs) == ("gru", (8, 4), 3)
    assert second.optimizer.learning_rate == 0.01
    assert made.optimizer.clip_norm is first.optimizer.clip_norm is second.optimizer.clip_norm is None


def test_peers_are_upper_cased_and_may_be_read_otherwise(services: Services) -> None:
    spec = order(services, spec={"peers": ["bbb", "CCC"], "peer_features": ["returns"]}).spec
    assert (spec.peers, spec.read_of_peers) == (("BBB", "CCC"), ("returns",))
    assert order(services, spec={"peers": ["BBB"], "peer_features": None}).spec.read_of_peers == ("range",)


@pytest.mark.parametrize(
    ("spec", "code", "pointer"),
    [
        ({"members": [{"loss": "mse"}, {}]}, "invalid_spec", "/spec/members/0/loss"),
        ({"members": [{}, {"units": [1] * 8, "architecture": "cnn_lstm"}]}, "invalid_spec", "/spec/members/1/units"),
        ({"members": [{}, {"architecture": "magic"}]}, "unknown_architecture", "/spec/members/1/architecture"),
        (
            {"members": [{}, {"architecture": "encoder_decoder"}], "strategy": "recursive", "horizon": 3},
            "invalid_spec",
            "/spec/strategy",
        ),
        ({"members": [{}, {}], "targets": [{"field": "close"}, {"field": "close"}]}, "invalid_spec", "/spec/targets"),
        ({"members": [{}]}, "invalid_spec", "/spec/members"),
        ({"members": [{}] * 6}, "invalid_request", "/spec/members"),
        ({"members": [{}, {"window": 9}]}, "invalid_request", "/spec/members/1/window"),
        ({"units": [8, 4], "dropout": [0.1]}, "invalid_spec", "/spec/dropout"),
        ({"dropout": [0.1, 0.95]}, "invalid_request", "/spec/dropout/1"),
        ({"dropout": None}, "invalid_request", "/spec/dropout"),
        ({"targets": [{"field": "close"}, {"field": "close"}]}, "invalid_spec", "/spec/targets"),
        ({"targets": []}, "invalid_request", "/spec/targets"),
        ({"target": HIGHS, "targets": [{"field": "close"}]}, "invalid_spec", "/spec/target"),
        ({"targets": [{"field": "close"}, HIGHS]}, "invalid_spec", "/spec/targets"),
        ({"peers": ["BBB", "AAA"]}, "invalid_spec", "/spec/peers/1"),
        ({"peers": ["BBB", "bbb"]}, "invalid_spec", "/spec/peers/1"),
        ({"peers": ["a/b"]}, "invalid_request", "/spec/peers/0"),
        ({"peers": [f"P{n}" for n in range(33)]}, "invalid_request", "/spec/peers"),
        ({"peer_features": ["close"]}, "invalid_spec", "/spec/peer_features"),
        ({"strategy": "recursive", "architecture": "encoder_decoder"}, "invalid_spec", "/spec/strategy"),
        ({"strategy": "guess"}, "invalid_request", "/spec/strategy"),
        ({"horizon": 367}, "invalid_request", "/spec/horizon"),
        ({"optimizer": {"clip_norm": 0}}, "invalid_request", "/spec/optimizer/clip_norm"),
    ],
)
def test_a_network_that_cannot_be_is_refused_at_its_field(
    client: TestClient, spec: dict[str, Any], code: str, pointer: str
) -> None:
    response = client.post("/v1/train", json={"ticker": "AAA", "spec": spec})
    problem = response.json()
    assert (response.status_code, problem["code"], problem["errors"][0]["pointer"]) == (422, code, pointer)


def test_a_member_has_exactly_the_fields_that_members_may_differ_in() -> None:
    assert set(MemberIn.model_fields) == set(MEMBER_FIELDS)


def test_every_preset_is_told_with_what_it_came_from(client: TestClient) -> None:
    told = {item["name"]: item for item in client.get("/v1/presets").json()["items"]}
    assert list(told) == list(PRESETS)
    assert all(item["summary"] and item["source"] for item in told.values())
    assert told["ibm-lstm"]["reported"] == {"rmse": 5.172}
    assert (told["ibm-lstm"]["ticker"], told["default"]["ticker"]) == ("IBM", None)
    assert (told["default"]["search"], told["msft-hyperband"]["search"]["method"]) == (None, "hyperband")


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_is_told_to_be_can_be_sent_as_an_order(client: TestClient, services: Services, name: str) -> None:
    told = next(item for item in client.get("/v1/presets").json()["items"] if item["name"] == name)
    meant = order(services, preset=name)
    spelled_out = order(services, spec=told["defaults"], evaluation=told["evaluation"], data=told["data"])
    assert told["defaults"] == meant.spec.to_dict()
    assert {**spelled_out.to_dict(), "preset": name} == meant.to_dict()


def test_the_architectures_are_told_with_their_sizes(client: TestClient) -> None:
    items = client.get("/v1/architectures").json()["items"]
    assert {item["name"]: item["defaults"] for item in items}["stacked_lstm"] == {"units": [32, 16]}
