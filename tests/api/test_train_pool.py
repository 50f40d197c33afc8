"""Handing in a universe, and adoptions of the network that came of one."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.db.tables import versions as table
from app.domain.order import POOLED, TrainingOrder
from app.domain.pooled import PooledNetwork, PooledOrder, Window
from app.domain.presets import PRESETS
from app.forecasting.services import Services
from app.jobs import queries
from tests.api.rows import add_version, write_csv

UNIVERSE = {"preset": "pooled", "universe": ["BBB", "AAA"]}
ADOPTION = {"ticker": "AAA", "preset": "pooled"}


def payload_of(services: Services, job: dict[str, Any]) -> dict[str, Any]:
    with services.database.read() as tx:
        return dict(queries.get(tx, job["job_id"]).payload)


def add_pooled(services: Services, *, first: date = date(2025, 1, 1)) -> None:
    """Register a version of CCC that holds a pooled network, tested from ``first`` on."""
    version = add_version(services, "CCC", preset=POOLED)
    known = PooledNetwork(
        universe=("CCC", "DDD"),
        fitted_at="2026-11-20T12:00:00+00:00",
        known_through=date(2026, 11, 20),
        windows=(Window(first=first, last=date(2026, 11, 20)),),
        protocol={},
    )
    with services.database.write() as tx:
        tx.execute(update(table).values(order={**version.order, "pooled": known.to_dict()}))


def test_a_universe_is_one_job_of_no_ticker(client: TestClient, services: Services) -> None:
    response = client.post("/v1/train", json=UNIVERSE)
    job = response.json()
    assert response.status_code == 202
    assert (job["ticker"], job["kind"], job["state"]) == (None, "train", "queued")
    assert response.headers["location"] == job["links"]["self"]
    order = PooledOrder.from_dict(payload_of(services, job))
    assert order.universe == ["AAA", "BBB"]
    assert order.spec.loss == PRESETS[POOLED].spec["loss"]
    assert {one.data.source for one in order.orders} == {"files"}


def test_the_same_universe_in_another_order_is_the_same_work(client: TestClient) -> None:
    first = client.post("/v1/train", json=UNIVERSE).json()
    again = client.post("/v1/train", json={**UNIVERSE, "universe": ["aaa", "BBB"]}).json()
    other = client.post("/v1/train", json={**UNIVERSE, "spec": {"window": 30}}).json()
    assert (again["job_id"], again["deduplicated"]) == (first["job_id"], True)
    assert other["job_id"] != first["job_id"]


def test_an_idempotency_key_replays_the_answer_to_a_universe(client: TestClient) -> None:
    headers = {"Idempotency-Key": "p-1"}
    first = client.post("/v1/train", json=UNIVERSE, headers=headers)
    assert client.post("/v1/train", json=UNIVERSE, headers=headers).json() == first.json()
    other = client.post("/v1/train", json={**UNIVERSE, "promote": "never"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"universe": ["AAA"]}, "/universe"),
        ({"universe": ["AAA", "aaa"]}, "/universe"),
        ({"universe": [f"T{n}" for n in range(201)]}, "/universe"),
        ({"preset": "default"}, "/preset"),
        ({"spec": {"loss": "mse"}}, "/spec/loss"),
        ({"spec": {"peers": ["CCC"]}}, "/spec/peers"),
        ({"ticker": "AAA"}, "/ticker"),
        ({"universe": ["AAA", "NOBODY"]}, "/universe/1"),
        ({"spec": {"features": ["magic"]}}, "/spec/features"),
    ],
)
def test_a_universe_that_cannot_be_is_refused_where_it_is_wrong(
    client: TestClient, changes: dict[str, Any], pointer: str
) -> None:
    response = client.post("/v1/train", json={**UNIVERSE, **changes})
    assert response.status_code == 422, response.json()
    assert response.json()["errors"][0]["pointer"].startswith(pointer)
    assert client.get("/v1/jobs").json()["items"] == []


def test_a_member_with_too_few_sessions_is_refused_by_name_with_its_numbers(client: TestClient) -> None:
    problem = client.post("/v1/train", json={**UNIVERSE, "universe": ["AAA", "SHORT", "BBB"]}).json()
    assert (problem["status"], problem["code"], problem["ticker"]) == (422, "not_enough_history", "SHORT")
    assert problem["have"] == 60 < problem["need"]
    assert problem["detail"].startswith("SHORT: ")


def test_while_a_universe_waits_none_of_its_tickers_can_be_deleted(client: TestClient, services: Services) -> None:
    add_version(services, "AAA")
    add_version(services, "CCC")
    job = client.post("/v1/train", json=UNIVERSE).json()
    refused = client.delete("/v1/models/AAA")
    assert (refused.status_code, refused.json()["code"], refused.json()["jobs"]) == (409, "job_active", [job["job_id"]])
    assert client.delete("/v1/models/CCC").status_code == 204


@pytest.mark.parametrize("asked", [ADOPTION, {"tickers": ["AAA", "BBB"], "preset": "pooled"}])
def test_without_a_pooled_network_there_is_nothing_to_adopt(client: TestClient, asked: dict[str, Any]) -> None:
    add_version(client.app.state.services, "CCC", preset=POOLED)  # of the same spec, but of one ticker alone
    response = client.post("/v1/train", json=asked)
    assert (response.status_code, response.json()["code"]) == (409, "no_pooled_model")


def test_a_ticker_adopts_what_is_there_and_several_do_each(client: TestClient, services: Services) -> None:
    add_pooled(services)
    job = client.post("/v1/train", json=ADOPTION).json()
    assert (job["ticker"], job["kind"]) == ("AAA", "train")
    order = TrainingOrder.from_dict(payload_of(services, job))
    assert (order.preset, order.spec.loss) == (POOLED, "pinball")
    both = client.post("/v1/train", json={"tickers": ["BBB", "AAA"], "preset": "pooled"}).json()["items"]
    assert [one["ticker"] for one in both] == ["BBB", "AAA"]
    assert (both[1]["job_id"], both[1]["deduplicated"]) == (job["job_id"], True)


def test_adopting_is_other_work_than_fitting_a_network_of_the_same_spec(client: TestClient, services: Services) -> None:
    add_pooled(services)
    adopted = client.post("/v1/train", json=ADOPTION).json()
    fitted = client.post("/v1/train", json={"ticker": "AAA", "spec": PRESETS[POOLED].spec}).json()
    assert fitted["job_id"] != adopted["job_id"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"spec": {"window": 30}}, "/spec"), ({"evaluation": {"kind": "fixed", "test_fraction": 0.2}}, "/evaluation")],
)
def test_a_network_is_adopted_as_it_is(
    client: TestClient, services: Services, changes: dict[str, Any], pointer: str
) -> None:
    add_pooled(services)
    problem = client.post("/v1/train", json={**ADOPTION, **changes}).json()
    assert (problem["status"], problem["code"]) == (422, "invalid_spec")
    assert problem["errors"][0]["pointer"] == pointer
    same = {"spec": {"units": [16]}, "evaluation": {"kind": "walk_forward"}}
    assert client.post("/v1/train", json={**ADOPTION, **same}).status_code == 202


def test_who_adopts_too_early_is_told_how_many_sessions_are_missing(client: TestClient, services: Services) -> None:
    write_csv(services.settings.files_dir, "YOUNG", 200)
    add_pooled(services, first=date(2026, 8, 1))
    problem = client.post("/v1/train", json={**ADOPTION, "ticker": "YOUNG"}).json()
    assert (problem["status"], problem["code"], problem["ticker"]) == (422, "not_enough_history", "YOUNG")
    assert problem["have"] == 200 < problem["need"]
    listed = client.post("/v1/train", json={"tickers": ["AAA", "YOUNG"], "preset": "pooled"}).json()
    assert (listed["ticker"], listed["errors"][0]["pointer"]) == ("YOUNG", "/tickers/1")
    unknown = client.post("/v1/train", json={**ADOPTION, "ticker": "NOBODY"}).json()
    assert (unknown["code"], unknown["errors"][0]["pointer"]) == ("unknown_ticker", "/ticker")
