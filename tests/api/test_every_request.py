from __future__ import annotations

import http.client
import subprocess
import sys
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from app.forecasting.market_data import keep
from app.forecasting.services import Services
from app.jobs import leases
from app.jobs.submission import submit
from app.prices.csv_text import read_bars
from tests.api.conftest import serving
from tests.api.rows import add_version, csv_of

HEAVY = (
    "limits",
    "redis",
    "tensorflow",
    "keras",
    "yfinance",
    "arch",
    "optuna",
    "statsmodels",
    "sklearn",
    "scoringrules",
)


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
    assert (page["cross-origin-opener-policy"], "camera=()" in page["permissions-policy"]) == ("same-origin", True)
    assert not {"cross-origin-opener-policy", "permissions-policy"} & set(data)


@pytest.mark.parametrize("path", ["/", "/docs", "/page/main.js", "/page/plotly.min.js", "/openapi.json"])
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
        "/v1/forecasts",
        "/v1/forecasts?format=columns",
        "/v1/forecasts?format=csv",
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
    assert first.headers["vary"] == ("Accept" if path == "/openapi.json" else "Accept, Authorization")
    again = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def keep_bars(services: Services) -> None:
    history, _ = read_bars(csv_of(300).encode(), ticker="AAA")
    keep(replace(history, source="files"), services=services, now=services.clock())


def test_a_chart_answers_like_every_other_get(client: TestClient, services: Services) -> None:
    path = "/v1/forecasts/AAA/series"
    assert (client.head(path).status_code, client.get(path).json()["code"]) == (404, "no_model_yet")
    keep_bars(services)
    add_version(services, alias="champion")
    first = client.get(path)
    assert (first.status_code, first.headers["vary"]) == (200, "Accept, Authorization")
    again = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert (head.headers["etag"], head.headers["content-length"]) == (first.headers["etag"], str(len(first.content)))
    assert client.post(path).headers["allow"] == "GET, HEAD"


# Streams have no end, so that random requests leave them out; their statuses are few.


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/jobs/none/events", 404, "no_such_job"),
        ("/v1/jobs/no%20id/events", 422, "invalid_request"),
        (f"/v1/jobs/{'x' * 65}/events", 422, "invalid_request"),
        ("/v1/jobs//events", 404, "not_found"),
        ("/v1/events/", 404, "not_found"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_no_stream_is_a_problem(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers["cache-control"] == "no-store"
    if method == "GET":
        assert (answer.json()["code"], answer.json()["status"]) == (code, status)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/jobs/none/events"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_stream_is_only_got(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("last_id", [None, "", "x" * 5000, "1.1", "\xff"])
def test_the_stream_of_a_job_that_is_over_ends_and_is_not_sent_twice(
    client: TestClient, services: Services, last_id: str | None
) -> None:
    with services.database.write() as tx:
        job, _ = submit(tx, kind="refresh", ticker=None, payload={}, dedupe="refresh", now=services.clock())
        leases.request_cancel(tx, job.job_id, now=services.clock())
    path = f"/v1/jobs/{job.job_id}/events"
    headers = {} if last_id is None else {"Last-Event-ID": last_id.encode("latin-1")}
    answer = client.get(path, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    begin, *event = answer.text.partition("event: state\n")
    assert begin == ": events\nretry: 2000\n"
    assert answer.text.endswith("\n\n") and answer.text.count("event: ") == 1
    (own_id,) = [line.removeprefix("id: ") for line in "".join(event).splitlines() if line.startswith("id: ")]
    seen = client.get(path, headers={"Last-Event-ID": own_id})
    assert (seen.status_code, seen.content, "content-type" in seen.headers) == (204, b"", False)
    for headers, status in (({}, 200), ({"Last-Event-ID": own_id}, 204)):
        head = client.head(path, headers=headers)
        assert (head.status_code, head.content) == (status, b"")
    head = client.head("/v1/events")
    assert (head.status_code, head.content, head.headers["content-type"][:17]) == (200, b"", "text/event-stream")


def test_importing_the_api_imports_nothing_heavy() -> None:
    code = f"import sys, app.api.app, app.bootstrap; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
