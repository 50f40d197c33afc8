from __future__ import annotations

import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.api.app import create_app
from app.domain import special
from app.forecasting.services import Services
from app.jobs import fleet
from tests.api.conftest import Clock, look_anew, serving
from tests.api.rows import add_version


def test_a_living_process_says_so(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "ok"}


def test_ready_without_workers_but_it_is_told(client: TestClient, services: Services, clock: Clock) -> None:
    response = client.get("/readyz")
    checks = {check["name"]: check for check in response.json()["checks"]}
    assert response.status_code == 200
    assert all(check["ok"] for check in checks.values())
    assert "None alive" in checks["workers"]["detail"]
    with services.database.write() as tx:
        fleet.beat(tx, "w-1", host="h", pid=1, now=clock.now)
    look_anew(client)
    assert "1 alive" in client.get("/readyz").text


def test_not_ready_when_the_model_store_cannot_be_written(client: TestClient, services: Services) -> None:
    store = services.settings.models_dir
    shutil.rmtree(store, ignore_errors=True)
    store.write_text("a file where the folder should be")
    response = client.get("/readyz")
    checks = {check["name"]: check["ok"] for check in response.json()["checks"]}
    assert response.status_code == 503
    assert checks == {"database": True, "models_store": False, "workers": True}
    assert response.headers["retry-after"] == "5"


def test_metrics_count_requests_by_template_and_tell_the_queue(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    client.post("/v1/train", json={"ticker": "AAA"})
    client.get("/v1/forecasts/AAA")
    client.get("/v1/forecasts/AAA")
    client.get("/somewhere/else")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    text = response.text
    assert re.search(
        r'morrow_http_requests_total\{method="GET",route="/v1/forecasts/\{ticker\}",status="200"\} \d', text
    )
    assert 'route="unmatched"' in text
    assert "/somewhere" not in text
    assert 'morrow_jobs{state="queued"} 1.0' in text
    assert "morrow_model_versions 1.0" in text
    assert "morrow_champions 1.0" in text
    assert re.search(r'morrow_forecast_cache_total\{outcome="hit"\} [1-9]', text)


def test_the_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    for page in ("/", "/docs"):
        text = client.get(page).text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert loaded and not [url for url in loaded if "//" in url]
        for url in loaded:
            if url.startswith(("page/", "docs/")):
                response = client.get(f"/{url}")
                assert response.status_code == 200 and response.content
    assert client.get("/page/secrets").status_code == client.get("/docs/x.js").status_code == 404


def test_the_dashboard_says_what_it_is_not(client: TestClient) -> None:
    text = client.get("/").text
    assert "not investment advice" in text
    assert "personal use" in text


def test_the_page_scripts_write_no_markup() -> None:
    scripts = sorted((Path(__file__).parents[2] / "app" / "api" / "page").glob("*.js"))
    assert len(scripts) > 10
    for script in scripts:
        assert (
            re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text()) is None
        ), script


def test_behind_a_prefix_links_and_description_carry_it(services: Services) -> None:
    client = TestClient(create_app(services), root_path="/morrow")
    job = client.post("/morrow/v1/train", json={"ticker": "AAA"}).json()
    assert job["links"]["self"] == f"/morrow/v1/jobs/{job['job_id']}"
    assert client.get("/morrow/openapi.json").json()["servers"] == [{"url": "/morrow"}]
    assert client.put("/morrow/v1/train").headers["allow"] == "POST"


def test_browsers_of_named_origins_may_call(services: Services) -> None:
    settings = services.settings.model_copy(update={"cors_origins": ("https://a.example",)})
    client = TestClient(create_app(type(services)(**{**vars(services), "settings": settings})))
    named = client.get("/livez", headers={"Origin": "https://a.example"})
    assert named.headers["access-control-allow-origin"] == "https://a.example"
    shown = set(named.headers["access-control-expose-headers"].lower().split(", "))
    assert {"etag", "location", "retry-after", "www-authenticate", "x-next-page-token", "x-request-id"} < shown
    assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} < shown
    assert "access-control-allow-origin" not in client.get("/livez", headers={"Origin": "https://b.example"}).headers


def test_pages_of_named_origins_can_read_what_went_wrong(services: Services) -> None:
    with services.database.write() as tx:
        tx.execute(text("ALTER TABLE jobs RENAME COLUMN kind TO changed"))  # which nobody foresees
    settings = services.settings.model_copy(update={"cors_origins": ("https://a.example",), "max_body_bytes": 1000})
    client = TestClient(create_app(replace(services, settings=settings)))
    named = {"Origin": "https://a.example"}
    chunks = (b"x" * 600 for _ in range(2))
    refusals = [
        client.post("/v1/forecasts", content=b"x" * 1001, headers=named),
        client.post("/v1/forecasts", content=chunks, headers={**named, "Content-Type": "application/json"}),
        client.get("/v1/jobs", headers=named),
    ]
    codes = [(answer.status_code, answer.json()["code"]) for answer in refusals]
    assert codes == [(413, "body_too_large"), (413, "body_too_large"), (500, "internal_error")]
    for answer in refusals:
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-origin" not in client.get("/v1/jobs", headers={"Origin": "https://b.example"}).headers


def test_not_ready_when_the_registry_is_not_this_programs(client: TestClient, services: Services) -> None:
    with services.database.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = client.get("/readyz")
    checks = {check["name"]: check for check in answer.json()["checks"]}
    assert (answer.status_code, checks["database"]["ok"]) == (503, False)
    assert "schema" in checks["database"]["detail"]


def test_not_ready_when_the_registry_is_damaged_while_it_is_served(client: TestClient, services: Services) -> None:
    file = services.settings.state_dir / "morrow.db"
    assert client.get("/v1/models").status_code == 200  # from then on it is known that no key is needed
    services.database.close()
    file.write_bytes(b"not a database at all" * 100)
    answer = client.get("/readyz")
    checks = {check["name"]: check for check in answer.json()["checks"]}
    assert (answer.status_code, checks["database"]["ok"]) == (503, False)
    assert "not a SQLite database" in checks["database"]["detail"]
    assert checks["models_store"]["ok"]


def test_what_the_first_forecast_needs_is_loaded_when_the_server_listens(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_loaded = threading.Event()
    monkeypatch.setattr(special, "load", is_loaded.set)
    with serving(services):
        assert is_loaded.wait(10)
