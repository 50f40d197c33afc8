from __future__ import annotations

import http.client
import subprocess
import sys

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import serving
from tests.api.rows import add_version

HEAVY = ("tensorflow", "keras", "yfinance", "arch", "optuna", "statsmodels", "sklearn", "scoringrules")


def test_a_request_id_is_echoed_or_made(client: TestClient) -> None:
    assert client.get("/livez", headers={"X-Request-ID": "Job.7:a-b"}).headers["x-request-id"] == "Job.7:a-b"
    made = client.get("/livez", headers={"X-Request-ID": "no spaces please"}).headers["x-request-id"]
    assert len(made) == 32
    assert client.get("/livez", headers={"X-Request-ID": "x" * 65}).headers["x-request-id"] != "x" * 65


def test_answers_carry_the_safety_headers(client: TestClient) -> None:
    data, page = client.get("/livez").headers, client.get("/").headers
    assert data["x-content-type-options"] == page["x-content-type-options"] == "nosniff"
    assert data["content-security-policy"].startswith("default-src 'none'")
    assert "script-src 'self'" in page["content-security-policy"]
    assert "http" not in page["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/docs", "/page/page.js", "/openapi.json"])
def test_what_a_browser_has_kept_stays_under_its_policy(client: TestClient, path: str) -> None:
    first = client.get(path).headers
    again = client.get(path, headers={"If-None-Match": first["etag"]})
    assert again.status_code == 304
    assert again.headers["content-security-policy"] == first["content-security-policy"]


def test_head_is_get_without_the_body(client: TestClient, services) -> None:
    add_version(services)
    head, get = client.head("/v1/models/AAA"), client.get("/v1/models/AAA")
    assert head.status_code == 200 and head.content == b""
    assert (head.headers["etag"], head.headers["content-length"]) == (get.headers["etag"], str(len(get.content)))
    assert client.head("/v1/train").status_code == 405


@pytest.mark.parametrize("path", ["/livez", "/v1/forecasts/AAA", "/v1/forecasts?tickers=AAA"])
def test_a_connection_lives_on_after_head(services, path: str) -> None:
    add_version(services, alias="champion")
    with serving(services) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        lengths = []
        for method in ("GET", "HEAD", "HEAD", "GET"):
            connection.request(method, path)
            answer = connection.getresponse()
            lengths.append((answer.headers["content-length"], len(answer.read()) > 0))
            connection.auto_open = False
        connection.close()
    length = lengths[0][0]
    assert lengths == [(length, True), (length, False), (length, False), (length, True)]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/forecasts/AAA",
        "/v1/forecasts?tickers=AAA",
        "/v1/models",
        "/v1/models/AAA",
        "/v1/models/AAA/versions/1",
        "/v1/models/AAA/versions/1/scorecard",
        "/v1/models/AAA/versions/1/predictions",
        "/v1/models/AAA/versions/1/artifacts/model.onnx",
        "/v1/models/AAA/aliases/champion",
        "/openapi.json",
    ],
)
def test_who_has_the_bytes_already_gets_304(client: TestClient, services, path: str) -> None:
    add_version(services, alias="champion")
    first = client.get(path)
    assert first.status_code == 200
    assert first.headers["vary"] == "Accept"
    again = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_importing_the_api_imports_nothing_heavy() -> None:
    code = f"import sys, app.api.app, app.bootstrap; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
