from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import text

from app.api.schemas.models import CurvesOut, FittedOut, PathOut, PredictionsOut, VersionOut
from app.domain.version import ModelVersion
from app.evaluation.charts import path, predictions
from app.forecasting.services import Services
from app.registry import aliases, versions
from tests.api.conftest import Clock
from tests.api.rows import CARD, CURVE, FITTED, NOW, PATH, PREDICTIONS, add_forecast, add_version
from tests.evaluation.cases import made_up_backtest

CHAMPION = "/v1/models/AAA/aliases/champion"


def register_again(services: Services, version: ModelVersion, **changes: Any) -> None:
    """Register ``version`` with ``changes`` under the ticker's next number."""
    with services.database.write() as tx:
        number = versions.reserve_number(tx, version.ticker)
        versions.register(tx, replace(version, number=number, **changes))


def test_one_row_a_ticker(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    add_version(services)
    add_version(services, "BBB")
    add_forecast(services, "BBB", version=None, architecture="ewma_t", preset=None, trained_through=None)
    first, second = client.get("/v1/models").json()["items"]
    assert (first["ticker"], first["champion"]["version"], first["latest"]["version"]) == ("AAA", 1, 2)
    assert first["metrics"]["rmse_ratio"] == 1.01
    assert first["metrics"]["skill"] == -0.001
    assert (first["state"], second["state"]) == ("fresh", "baseline")
    assert second["champion"] is None
    assert first["links"]["forecast"] == "/v1/forecasts/AAA"


def test_tickers_are_paged(client: TestClient, services: Services) -> None:
    for ticker in ("CCC", "^GSPC", "AAA"):
        add_version(services, ticker)
    first = client.get("/v1/models?page_size=2").json()
    rest = client.get("/v1/models", params={"page_size": 2, "page_token": first["next_page_token"]}).json()
    assert [row["ticker"] for row in first["items"] + rest["items"]] == ["AAA", "CCC", "^GSPC"]
    assert "next_page_token" not in rest
    assert rest["items"][0]["links"]["self"] == "/v1/models/%5EGSPC"
    assert client.get(rest["items"][0]["links"]["self"]).status_code == 200


def test_nothing_trained_is_an_empty_list(client: TestClient) -> None:
    assert client.get("/v1/models").json() == {"items": []}
    assert client.get("/v1/models/AAA").json()["code"] == "no_model_yet"


def test_versions_come_newest_first_with_their_aliases(client: TestClient, services: Services) -> None:
    for alias in ("champion", None, "canary"):
        add_version(services, alias=alias)
    body = client.get("/v1/models/AAA").json()
    assert [row["version"] for row in body["items"]] == [3, 2, 1]
    assert [row["aliases"] for row in body["items"]] == [["canary"], [], ["champion"]]
    page = client.get("/v1/models/AAA?page_size=2").json()
    rest = client.get(f"/v1/models/AAA?page_size=2&page_token={page['next_page_token']}").json()
    assert [row["version"] for row in rest["items"]] == [1]


def test_a_version_tells_everything(client: TestClient, services: Services) -> None:
    version = add_version(services, spec={"window": 30})
    body = client.get("/v1/models/AAA/versions/1").json()
    assert body["spec"]["window"] == 30
    assert body["data"]["snapshot_id"].startswith("sha256:")
    assert (body["data"]["first_session"], body["data"]["rows"]) == ("2019-01-02", 1500)
    assert body["artifacts"]["model.onnx"]["sha256"] == version.artifacts["model.onnx"]["sha256"]
    assert body["links"]["scorecard"] == "/v1/models/AAA/versions/1/scorecard"
    assert body["libraries"] == {"keras": "3.15.1"}
    assert body["seconds"] == {"fit": 3.5}
    assert body["submitted_by"] == "anonymous"


def test_the_scorecard_compares_all_contestants(client: TestClient, services: Services) -> None:
    add_version(services)
    body = client.get("/v1/models/AAA/versions/1/scorecard").json()
    assert set(body["contestants"]) == {"model", "persistence", "ewma_t"}
    assert body["confidence_set"]["included"] == ["model", "ewma_t"]
    assert [len(column) for column in body["pit"].values()] == [10, 10, 10]
    assert body["contestants"]["persistence"]["hit_rate"] is None
    assert (body["skill"]["ci95"], body["earned_champion"]) == ([-0.004, 0.002], False)


def test_further_targets_have_their_own_metrics(client: TestClient, services: Services) -> None:
    version = add_version(services)
    card = replace(CARD, targets={"high": {"model": {"rmse": 0.9}, "persistence": {"rmse": 1.1}}})
    register_again(services, version, scorecard=card.to_dict())
    assert client.get("/v1/models/AAA/versions/1/scorecard").json()["targets"] == {}
    assert client.get("/v1/models/AAA/versions/2/scorecard").json()["targets"] == card.targets


def test_a_version_names_all_its_targets_networks_and_peers(client: TestClient, services: Services) -> None:
    spec = {"targets": [{"field": "high"}, {"field": "low"}], "peers": ["BBB"], "horizon": 3}
    members = [{"architecture": "lstm"}, {"architecture": "gru"}]
    version = add_version(services, spec=spec | {"members": members})
    peers = {"snapshots": {"BBB": "sha256:1"}, "correlation": {"items": []}}
    register_again(services, version, data=replace(version.data, peers=peers))
    body = client.get("/v1/models/AAA/versions/2").json()
    assert VersionOut.model_validate(body).targets[1].field == "low"
    assert (body["architecture"], body["target"]) == ("lstm+gru", {"field": "high", "transform": "log_return"})
    assert [target["field"] for target in body["targets"]] == ["high", "low"]
    assert (body["spec"]["targets"], body["spec"]["target"]) == (body["targets"], body["target"])
    assert body["data"]["peers"] == peers
    assert client.get("/v1/models/AAA/versions/1").json()["data"]["peers"] is None


def test_predictions_are_columns_of_each_part(client: TestClient, services: Services) -> None:
    add_version(services)
    at = "/v1/models/AAA/versions/1/predictions"
    assert client.get(at).json() == client.get(f"{at}?part=test").json() == PREDICTIONS
    links = client.get("/v1/models/AAA/versions/1").json()["links"]
    assert (links["predictions"], links["fitted"], links["path"]) == (at, f"{at}?part=train", f"{at}?part=path")
    assert client.get(links["fitted"]).json() == FITTED
    assert client.get(links["path"]).json() == PATH
    documented = (PredictionsOut, PREDICTIONS), (FittedOut, FITTED), (PathOut, PATH)
    assert all(out.model_validate(columns).model_dump(mode="json") == columns for out, columns in documented)
    refused = client.get(f"{at}?part=all")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/part")


def test_the_documented_columns_are_those_that_a_backtest_writes() -> None:
    played = made_up_backtest(20)
    test = predictions([played, replace(played, field="high")])
    known = PredictionsOut.model_validate(test)
    assert list(known.model_extra or {}) == ["high_actual", "high_predicted"]
    whole = path(played, played.sessions)
    assert PathOut.model_validate(whole).model_dump(mode="json") == whole


def test_a_part_that_a_version_has_not_is_404(client: TestClient, services: Services) -> None:
    version = add_version(services)
    kept = {name: facts for name, facts in version.artifacts.items() if name != "path.json"}
    register_again(services, version, artifacts=kept)
    missing = client.get("/v1/models/AAA/versions/2/predictions?part=path")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_artifact")
    assert client.get("/v1/models/AAA/versions/2/predictions?part=train").status_code == 200


def test_curves_are_columns_of_the_first_network_and_of_all_that_are_averaged(
    client: TestClient, services: Services
) -> None:
    add_version(services)
    alone = client.get("/v1/models/AAA/versions/1/curves").json()
    assert alone == CURVE == CurvesOut.model_validate(alone).model_dump(exclude_unset=True)
    add_version(services, preset="ibm-lstm-gru+")
    both = client.get("/v1/models/AAA/versions/2/curves").json()
    assert both == CurvesOut.model_validate(both).model_dump()
    assert [member["architecture"] for member in both["members"]] == ["lstm", "gru"]
    assert {name: both["members"][1][name] for name in CURVE} == CURVE


def test_files_are_served_under_their_hash(client: TestClient, services: Services) -> None:
    version = add_version(services, network=b"onnx")
    response = client.get("/v1/models/AAA/versions/1/artifacts/model.onnx")
    assert response.content == b"onnx"
    assert response.headers["etag"] == f'"{version.artifacts["model.onnx"]["sha256"]}"'
    assert response.headers["content-type"] == "application/octet-stream"
    missing = client.get("/v1/models/AAA/versions/1/artifacts/secrets")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_artifact")


def test_a_damaged_file_is_never_served(client: TestClient, services: Services) -> None:
    version = add_version(services)
    services.artifacts.path(version.location, "model.onnx").write_bytes(b"evil")
    response = client.get("/v1/models/AAA/versions/1/artifacts/model.onnx")
    assert (response.status_code, response.json()["code"]) == (500, "corrupt_artifact")


def test_a_version_that_is_not_there_is_404(client: TestClient, services: Services) -> None:
    add_version(services)
    for tail in ("", "/scorecard", "/predictions", "/curves", "/artifacts/model.onnx"):
        assert client.get(f"/v1/models/AAA/versions/9{tail}").json()["code"] == "no_such_version"
        assert client.get(f"/v1/models/NOPE/versions/1{tail}").json()["code"] == "no_model_yet"
    assert client.get("/v1/models/AAA/versions/0").status_code == 422


def test_a_version_is_deleted_with_its_files_unless_an_alias_needs_it(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    spare = add_version(services)
    held = client.delete("/v1/models/AAA/versions/1")
    assert (held.status_code, held.json()["code"], held.json()["aliases"]) == (409, "alias_in_use", ["champion"])
    assert client.get("/v1/forecasts/AAA?model=2").status_code == 200
    assert client.delete("/v1/models/AAA/versions/2").status_code == 204
    assert client.delete("/v1/models/AAA/versions/2").status_code == 404
    assert client.get("/v1/forecasts/AAA?model=2").status_code == 404
    assert not services.artifacts.path(spare.location, "model.onnx").exists()


def test_a_ticker_is_deleted_unless_an_alias_or_a_job_needs_it(client: TestClient, services: Services) -> None:
    version = add_version(services, alias="champion")
    assert client.delete("/v1/models/AAA").json()["code"] == "alias_in_use"
    etag = client.get(CHAMPION).headers["etag"]
    assert client.delete(CHAMPION).status_code == 428
    assert client.delete(CHAMPION, headers={"If-Match": '"old"'}).status_code == 412
    assert client.delete(CHAMPION, headers={"If-Match": etag}).status_code == 204
    job_id = client.post("/v1/train", json={"ticker": "AAA"}).json()["job_id"]
    assert client.delete("/v1/models/AAA").json()["code"] == "job_active"
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.delete("/v1/models/AAA").status_code == 204
    assert client.get("/v1/models").json()["items"] == []
    assert not services.artifacts.path(version.location, "model.onnx").exists()
    assert client.delete("/v1/models/AAA").status_code == 404


def test_an_alias_moves_only_for_who_knows_where_it_is(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    add_version(services)
    etag = client.get(CHAMPION).headers["etag"]
    body = {"version": 2, "reason": "calmer"}
    assert client.put(CHAMPION, json=body).json()["code"] == "precondition_missing"
    assert client.put(CHAMPION, json=body).status_code == 428
    moved = client.put(CHAMPION, json=body, headers={"If-Match": etag})
    assert (moved.status_code, moved.json()["version"], moved.json()["reason"]) == (200, 2, "calmer")
    assert moved.headers["etag"] == client.get(CHAMPION).headers["etag"] != etag
    lost = client.put(CHAMPION, json={"version": 1}, headers={"If-Match": etag})
    assert (lost.status_code, lost.json()["code"]) == (412, "precondition_failed")


def test_there_and_back_gives_a_new_tag(client: TestClient, services: Services, clock: Clock) -> None:
    add_version(services, alias="champion")
    add_version(services)
    first = client.get(CHAMPION).headers["etag"]
    for version in (2, 1):
        clock.now += timedelta(milliseconds=1)
        client.put(CHAMPION, json={"version": version}, headers={"If-Match": client.get(CHAMPION).headers["etag"]})
    assert client.get(CHAMPION).json()["version"] == 1
    assert client.put(CHAMPION, json={"version": 2}, headers={"If-Match": first}).status_code == 412


def test_an_alias_is_created_by_saying_that_there_is_none(client: TestClient, services: Services) -> None:
    add_version(services)
    assert client.get(CHAMPION).json()["code"] == "no_such_alias"
    assert client.put(CHAMPION, json={"version": 1}, headers={"If-Match": "*"}).status_code == 412
    created = client.put(CHAMPION, json={"version": 1}, headers={"If-None-Match": "*"})
    assert (created.status_code, created.json()["version"]) == (200, 1)
    assert client.put(CHAMPION, json={"version": 1}, headers={"If-None-Match": "*"}).status_code == 412


def test_a_champion_forecasts_the_close(client: TestClient, services: Services) -> None:
    add_version(services, spec={"target": {"field": "high"}})
    refused = client.put(CHAMPION, json={"version": 1}, headers={"If-None-Match": "*"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_promotable")
    other = client.put("/v1/models/AAA/aliases/high", json={"version": 1}, headers={"If-None-Match": "*"})
    assert other.status_code == 200


def test_an_alias_needs_a_version_that_is_there(client: TestClient, services: Services) -> None:
    nothing = client.put(CHAMPION, json={"version": 1}, headers={"If-None-Match": "*"})
    assert nothing.json()["code"] == "no_model_yet"
    add_version(services)
    missing = client.put(CHAMPION, json={"version": 9}, headers={"If-None-Match": "*"})
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_version")
    unstorable = client.put(CHAMPION, json={"version": 1, "reason": "a\0b"}, headers={"If-None-Match": "*"})
    assert (unstorable.status_code, unstorable.json()["errors"][0]["pointer"]) == (422, "/reason")


def test_an_alias_never_points_to_damaged_files(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    broken = add_version(services)
    services.artifacts.path(broken.location, "model.onnx").write_bytes(b"torn")
    tag = client.get("/v1/models/AAA/aliases/champion").headers["etag"]
    refused = client.put("/v1/models/AAA/aliases/champion", json={"version": 2}, headers={"if-match": tag})
    assert (refused.status_code, refused.json()["code"]) == (500, "corrupt_artifact")
    assert client.get("/v1/models/AAA/aliases/champion").json()["version"] == 1


def moved_by(change: str, client: TestClient, version: int, tag: str) -> Response:
    """Point the champion to ``version``, or roll it back: what goes for one goes for the other."""
    if change == "roll back":
        return client.post(f"{CHAMPION}/rollback")
    return client.put(CHAMPION, json={"version": version}, headers={"if-match": tag})


@pytest.mark.parametrize("change", ["point", "roll back"])
def test_others_write_while_the_files_are_read_that_an_alias_is_to_point_to(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    for _ in range(2):
        add_version(services, alias="champion")
    tag, read, written = client.get(CHAMPION).headers["etag"], services.artifacts.read, []

    def slowly(*args: Any, **kwargs: Any) -> bytes:
        written.append(client.post("/v1/refresh").status_code)
        return read(*args, **kwargs)

    monkeypatch.setattr(services.artifacts, "read", slowly)
    pointed = moved_by(change, client, 1, tag)
    assert (pointed.status_code, pointed.json()["version"]) == (200, 1)
    assert written and set(written) == {202}


@pytest.mark.parametrize("change", ["point", "roll back"])
def test_who_was_first_while_the_files_are_read_stays_first(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    for _ in range(3):
        add_version(services, alias="champion")
    tag, read, moved = client.get(CHAMPION).headers["etag"], services.artifacts.read, []

    def meanwhile(*args: Any, **kwargs: Any) -> bytes:
        if not moved:
            with services.database.write() as tx:
                moved.append(aliases.point(tx, "AAA", "champion", 1, by="other", reason="", now=NOW))
        return read(*args, **kwargs)

    monkeypatch.setattr(services.artifacts, "read", meanwhile)
    refused = moved_by(change, client, 2, tag)
    assert refused.status_code == (412 if change == "point" else 409)
    assert client.get(CHAMPION).json()["version"] == 1


def test_the_history_of_an_alias_is_whole_and_travels_in_time(
    client: TestClient, services: Services, clock: Clock
) -> None:
    add_version(services, alias="champion")
    add_version(services)
    before = clock.now
    clock.now += timedelta(hours=1)
    client.put(CHAMPION, json={"version": 2}, headers={"If-Match": client.get(CHAMPION).headers["etag"]})
    changes = client.get(f"{CHAMPION}/history").json()["items"]
    assert [(change["version"], change["previous"]) for change in changes] == [(2, 1), (1, None)]
    past = client.get(f"{CHAMPION}/history", params={"as_of": before.isoformat()}).json()["items"]
    assert [change["version"] for change in past] == [1]
    assert client.get("/v1/models/AAA/aliases/none/history").status_code == 404
    for never in ("5", "0001-01-01T00:00:00+14:00"):
        assert client.get(f"{CHAMPION}/history", params={"as_of": never}).status_code == 422


def test_rollback_goes_to_the_version_before(client: TestClient, services: Services) -> None:
    assert client.post(f"{CHAMPION}/rollback").status_code == 404
    add_version(services, alias="champion")
    assert client.post(f"{CHAMPION}/rollback").status_code == 409
    add_version(services, alias="champion")
    response = client.post(f"{CHAMPION}/rollback")
    assert (response.status_code, response.json()["version"], response.json()["reason"]) == (200, 1, "rollback")
    assert response.headers["etag"] == client.get(CHAMPION).headers["etag"]


@pytest.mark.parametrize("mangled", [1, 2, 3])
def test_mangled_rows_are_passed_over_by_a_rollback(client: TestClient, services: Services, mangled: int) -> None:
    for _ in range(4):
        add_version(services, alias="champion")
    with services.database.write() as tx:
        tx.execute(text("UPDATE versions SET data = '{}' WHERE number = :n"), {"n": mangled})
    assert client.post(f"{CHAMPION}/rollback").json()["version"] == (2 if mangled == 3 else 3)
