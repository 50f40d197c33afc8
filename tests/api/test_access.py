"""Who may do what: every operation of the document, with no key, too small a scope, and the right one."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from traceback import format_exception

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from app.api.app import create_app
from app.api.keyring import Keyring
from app.api.scopes import scope_needed
from app.domain.access import Scope
from app.errors import StoreUnavailable
from app.registry import aliases, audit, keys
from tests.api.conftest import serving
from tests.api.keyed import bearer, make_key, revoke_key
from tests.api.rows import add_version

PUBLIC = {("GET", "/livez"), ("GET", "/readyz")}
IN_PATHS = {
    "alias": "champion",
    "job_id": "none",
    "name": "model.onnx",
    "ticker": "AAA",
    "version": "1",
}
FORECAST = "/v1/forecasts/AAA"


def operations(services):
    for path, methods in create_app(services).openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def asked(client, method, path, headers):
    """Send an operation without its body; streams, which have no end, are asked for their head."""
    address = re.sub(r"\{(\w+)\}", lambda name: IN_PATHS[name[1]], path)
    return client.request("HEAD" if path.endswith("/events") else method, address, headers=headers)


@pytest.fixture
def key_of(services):
    return {scope: make_key(services, scope)[1] for scope in Scope}


def test_every_operation_asks_for_a_key_and_for_a_scope_that_is_large_enough(client, services, key_of):
    seen = dict.fromkeys(Scope, 0)
    for method, path, operation in operations(services):
        needed = scope_needed(method, path)
        assert (needed is None) == ((method, path) in PUBLIC)
        if needed is None:
            assert asked(client, method, path, {}).status_code == 200
            assert "security" not in operation
            continue
        seen[needed] += 1
        unknown = asked(client, method, path, {})
        assert (unknown.status_code, unknown.headers["www-authenticate"]) == (401, 'Bearer realm="morrow"')
        assert unknown.headers["vary"] == "Authorization"
        for scope in Scope:
            answer = asked(client, method, path, key_of[scope])
            assert (answer.status_code == 403) == (not scope.includes(needed)), (method, path, scope)
            assert answer.status_code != 401
            assert "Authorization" in answer.headers["vary"]
        assert {"401", "403", "429"} <= operation["responses"].keys()
        assert operation["security"] == [{"key": []}, {}]
    assert all(seen.values())


def test_what_is_no_operation_is_no_way_in(client, key_of):
    for path in ("/nothing", "/v1", "/page/x/y", "/docs/x/y", "/livez/", "/v1/livez"):
        assert client.get(path).status_code in (401, 404), path
    assert client.get("/v1//models").status_code == 401
    assert client.request("PATCH", "/v1/models", headers=key_of[Scope.TRAIN]).status_code == 403
    assert client.request("PATCH", "/v1/models", headers=key_of[Scope.ADMIN]).status_code == 405


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/docs", "/docs/swagger-ui.css", "/openapi.json"])
def test_the_page_and_the_document_are_for_everybody(client, key_of, path):
    answer = client.get(path)
    assert (answer.status_code, "Authorization" in answer.headers["vary"]) == (200, False)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        ("", "malformed"),
        ("Basic bWU6bWU=", "malformed"),
        ("Bearer", "malformed"),
        ("Bearer ", "malformed"),
        ("Bearer mrw_short", "unknown"),
        ("Bearer mrw_00000000_" + "x" * 43, "unknown"),
        ("Bearer \xff\xfe", "unknown"),
    ],
)
def test_what_is_no_key_is_refused_and_counted(client, key_of, header, reason):
    def count():
        return REGISTRY.get_sample_value("morrow_auth_failures_total", {"reason": reason}) or 0

    before = count()
    refused = client.get(FORECAST, headers={} if header is None else {"Authorization": header.encode("latin-1")})
    assert (refused.status_code, refused.json()["code"], refused.json()["reason"]) == (401, "unauthorized", reason)
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    assert count() == before + 1


def test_another_keys_secret_opens_nothing_and_two_headers_are_none(client, key_of, services):
    token = key_of[Scope.ADMIN]["Authorization"].removeprefix("Bearer ")
    key_id, other = make_key(services)
    mixed = token[:4] + key_id + token[12:]
    assert client.get(FORECAST, headers=bearer(mixed)).status_code == 401
    assert client.get(FORECAST, headers=bearer(token[:-1])).status_code == 401
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", other["Authorization"])]
    assert client.get(FORECAST, headers=twice).status_code == 401


def test_the_refusal_of_a_scope_says_which_is_there_and_which_is_needed(client, key_of):
    refused = client.delete("/v1/models/AAA", headers=key_of[Scope.READ]).json()
    assert (refused["code"], refused["have"], refused["need"]) == ("scope_too_small", "read", "admin")


def test_a_service_without_keys_asks_for_none_and_one_that_had_a_key_stays_closed(services, client):
    add_version(services, alias="champion")
    assert client.get(FORECAST, headers=bearer("nonsense")).status_code == 200
    key_id, _ = make_key(services)
    revoke_key(services, key_id)
    with TestClient(create_app(services)) as another:
        assert another.get(FORECAST).status_code == 401


def test_a_service_that_others_can_reach_asks_for_a_key_though_there_is_none(services):
    exposed = replace(services, settings=services.settings.model_copy(update={"host": "0.0.0.0"}))
    with TestClient(create_app(exposed)) as client:
        assert client.get(FORECAST).status_code == 401
        assert client.get("/livez").status_code == 200


def test_the_key_in_the_file_is_an_admins(services, tmp_path):
    file = tmp_path / "admin_key"
    file.write_text("s" * 40 + "\n")
    with_file = replace(services, settings=services.settings.model_copy(update={"admin_key_file": file}))
    with TestClient(create_app(with_file)) as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers=bearer("s" * 40)).status_code == 200
        assert client.delete("/v1/models/AAA", headers=bearer("s" * 40)).json()["code"] == "no_model_yet"
        assert client.get("/v1/models", headers=bearer("s" * 41)).status_code == 401


def test_the_key_in_the_other_file_only_reads(services, tmp_path):
    file = tmp_path / "metrics_key"
    file.write_text("m" * 40)
    with_file = replace(services, settings=services.settings.model_copy(update={"metrics_key_file": file}))
    with TestClient(create_app(with_file)) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=bearer("m" * 40)).status_code == 200
        refused = client.post("/v1/refresh", headers=bearer("m" * 40))
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_too_small")


@pytest.mark.parametrize("content", ["", "short", "x" * 20 + " " + "y" * 20, "ä" * 40])
def test_a_file_that_holds_no_secret_is_refused(services, tmp_path, content):
    file = tmp_path / "admin_key"
    file.write_text(content)
    with pytest.raises(StoreUnavailable, match="MORROW_ADMIN_KEY_FILE"):
        create_app(replace(services, settings=services.settings.model_copy(update={"admin_key_file": file})))


def test_one_key_in_both_files_is_refused(services, tmp_path):
    files = {f"{whose}_key_file": tmp_path / f"{whose}_key" for whose in ("admin", "metrics")}
    for end, file in zip(("", "\n"), files.values(), strict=True):
        file.write_text("s" * 40 + end)
    with pytest.raises(StoreUnavailable, match="MORROW_ADMIN_KEY_FILE and MORROW_METRICS_KEY_FILE") as caught:
        create_app(replace(services, settings=services.settings.model_copy(update=files)))
    assert "ssss" not in caught.value.detail


@pytest.mark.parametrize("secret", ["0123456789abcdef" * 4, "0123456789abcdef" * 20])
def test_a_key_in_place_of_its_file_is_not_told(services, secret):
    settings = services.settings.model_copy(update={"admin_key_file": Path(secret)})
    with pytest.raises(StoreUnavailable, match="MORROW_ADMIN_KEY_FILE") as caught:
        create_app(replace(services, settings=settings))
    assert "abcdef" not in "".join(format_exception(caught.value))


def test_a_key_expires_by_the_clock(client, services, clock):
    _, key = make_key(services, expires_at=clock() + timedelta(hours=1))
    assert client.get("/v1/models", headers=key).status_code == 200
    clock.now += timedelta(hours=1)
    refused = client.get("/v1/models", headers=key)
    assert (refused.status_code, refused.json()["reason"]) == (401, "expired")


def status_of(url, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def test_a_revoked_key_is_refused_on_the_hot_path_without_a_restart_and_a_new_one_let_in(services):
    add_version(services, alias="champion")
    key_id, key = make_key(services)
    with serving(services) as address:
        hot = f"{address}{FORECAST}"
        assert {status_of(hot, key) for _ in range(20)} == {200}
        assert status_of(hot, {}) == 401
        _, another = make_key(services, Scope.READ)
        revoke_key(services, key_id)
        deadline = time.monotonic() + 20
        while status_of(hot, key) == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert status_of(hot, key) == 401
        assert status_of(hot, another) == 200


def test_who_comes_after_a_pause_is_judged_by_what_holds_then(services, monkeypatch):
    key_id, key = make_key(services)
    with TestClient(create_app(services)) as client:
        assert client.get("/v1/models", headers=key).status_code == 200
        revoke_key(services, key_id)
        time.sleep(1.1)  # longer than anything that is known is believed
        assert client.get("/v1/models", headers=key).status_code == 401


def test_while_the_registry_is_away_known_keys_go_on_and_unknown_ones_stay_out(services, monkeypatch):
    add_version(services, alias="champion")
    _, key = make_key(services)
    is_away = []

    def read(self, known):
        if is_away:
            raise StoreUnavailable("away")
        return plain(self, known)

    plain = Keyring._read
    monkeypatch.setattr(Keyring, "_read", read)
    with TestClient(create_app(services)) as client:
        assert client.get(FORECAST, headers=key).status_code == 200
        is_away.append(True)
        _, later = make_key(services)
        time.sleep(1.1)
        assert client.get(FORECAST, headers=key).status_code == 200
        assert client.get(FORECAST, headers=later).status_code == 401
    with TestClient(create_app(services)) as client:
        assert client.get(FORECAST, headers=key).status_code == 503


def test_the_use_of_a_key_is_written_down(services, clock):
    key_id, key = make_key(services)
    with TestClient(create_app(services)) as client:
        client.get("/v1/models", headers=key)
        deadline, used = time.monotonic() + 20, None
        while used is None and time.monotonic() < deadline:
            with services.database.read() as tx:
                used = keys.get(tx, key_id).last_used_at
    assert used == clock()


def test_work_and_changes_bear_the_name_of_the_key(client, services):
    add_version(services, alias="champion")
    add_version(services)
    key_id, key = make_key(services, Scope.ADMIN)
    name = f"my admin ({key_id})"
    job = client.post("/v1/train", json={"ticker": "BBB"}, headers=key).json()
    assert job["submitted_by"] == name
    assert client.post(f"/v1/jobs/{job['job_id']}/cancel", headers=key).status_code == 202
    changed = client.put(
        "/v1/models/AAA/aliases/champion",
        json={"version": 2, "reason": "better"},
        headers={**key, "If-Match": "*", "X-Request-ID": "my-request"},
    )
    assert changed.status_code == 200
    assert client.post("/v1/models/AAA/aliases/champion/rollback", headers=key).status_code == 200
    assert client.delete("/v1/models/AAA/versions/2", headers=key).status_code == 204
    assert client.delete("/v1/models/AAA/versions/1", headers=key).status_code == 409
    with services.database.read() as tx:
        entries = audit.newest(tx, limit=20)
        assert {change.changed_by for change in aliases.history(tx, "AAA", "champion")} >= {name}
    told = [(entry.action, entry.subject) for entry in entries]
    assert told == [
        (audit.VERSION_DELETED, "AAA 2"),
        (audit.ALIAS_ROLLED_BACK, "AAA champion"),
        (audit.ALIAS_POINTED, "AAA champion"),
        (audit.JOB_CANCELLED, job["job_id"]),
        (audit.KEY_CREATED, key_id),
    ]
    pointed = entries[2]
    assert (pointed.who, pointed.request_id) == (name, "my-request")
    assert pointed.facts == {"version": 2, "previous": 1, "reason": "better"}


def test_an_idempotency_key_is_of_one_key(client, services):
    (_, one), (_, other) = make_key(services, Scope.TRAIN), make_key(services, Scope.TRAIN)
    once = {"Idempotency-Key": "same"}
    first = client.post("/v1/train", json={"ticker": "AAA"}, headers=one | once)
    assert client.post("/v1/train", json={"ticker": "BBB"}, headers=one | once).status_code == 422
    assert client.post("/v1/train", json={"ticker": "BBB"}, headers=other | once).status_code == 202
    assert first.status_code == 202


def test_pages_of_other_origins_can_read_a_refusal_and_ask_before(services):
    make_key(services)
    origins = services.settings.model_copy(update={"cors_origins": ("https://there.example",)})
    with TestClient(create_app(replace(services, settings=origins))) as client:
        before = {"Origin": "https://there.example", "Access-Control-Request-Method": "GET"}
        before["Access-Control-Request-Headers"] = "authorization"
        assert client.options("/v1/models", headers=before).status_code == 200
        refused = client.get("/v1/models", headers={"Origin": "https://there.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://there.example")
