from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from app.api.pagination import token_of
from app.errors import NotEnoughHistory
from app.forecasting.services import Services
from app.jobs import leases
from tests.api.conftest import Clock
from tests.api.rows import add_version


def submit(client: TestClient, window: int) -> str:
    job_id: str = client.post("/v1/train", json={"ticker": "AAA", "spec": {"window": window}}).json()["job_id"]
    return job_id


def test_jobs_are_listed_newest_first_page_by_page(client: TestClient, clock: Clock) -> None:
    made = []
    for window in range(10, 15):
        clock.now += timedelta(seconds=1)
        made.append(submit(client, window))
    seen: list[str] = []
    token = None
    while True:
        params = {"page_size": 2} | ({"page_token": token} if token else {})
        page = client.get("/v1/jobs", params=params).json()
        seen += [job["job_id"] for job in page["items"]]
        if "next_page_token" not in page:
            break
        token = page["next_page_token"]
    assert seen == made[::-1]


def test_a_page_size_beyond_the_maximum_is_coerced(client: TestClient) -> None:
    assert client.get("/v1/jobs?page_size=1000000").status_code == 200
    assert client.get("/v1/jobs?page_size=0").status_code == 422


@pytest.mark.parametrize(("path", "named"), [("/v1/jobs", "jobs"), ("/v1/forecasts/AAA/history", "forecasts")])
def test_a_token_that_somebody_made_up_is_refused_before_any_database_hears_of_it(
    client: TestClient, path: str, named: str
) -> None:
    token = token_of(named, ("2026-11-20T12:00:00Z", "a\0b"))
    response = client.get(path, params={"page_token": token})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_page_token")


def test_a_token_of_another_list_or_a_changed_one_is_refused(client: TestClient, services: Services) -> None:
    for _ in range(3):
        add_version(services)
    token = client.get("/v1/models/AAA?page_size=1").json()["next_page_token"]
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for path in (f"/v1/jobs?page_token={token}", f"/v1/models/AAA?page_token={changed}", "/v1/models?page_token=é"):
        response = client.get(path)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_page_token")


@pytest.mark.parametrize(
    "position", [["yesterday", "id"], ["2026-11-21T12:00:00", "id"], [1], [], ["0001-01-01T00:00:00+14:00", "id"]]
)
def test_a_token_that_somebody_made_up_is_refused(client: TestClient, position: list[str | int]) -> None:
    response = client.get(f"/v1/jobs?page_token={token_of('jobs', position)}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_page_token")


def test_jobs_are_filtered(client: TestClient) -> None:
    job_id = submit(client, 20)
    client.post("/v1/refresh")
    assert [j["job_id"] for j in client.get("/v1/jobs?ticker=aaa").json()["items"]] == [job_id]
    assert [j["kind"] for j in client.get("/v1/jobs?kind=refresh").json()["items"]] == ["refresh"]
    assert client.get("/v1/jobs?state=running").json()["items"] == []
    assert client.get("/v1/jobs?state=done").status_code == 422


def test_a_queued_job_is_cancelled_at_once_and_only_once(client: TestClient) -> None:
    job_id = submit(client, 20)
    cancelled = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    again = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_already_over")


def test_a_running_job_is_asked_to_stop(client: TestClient, services: Services, clock: Clock) -> None:
    job_id = submit(client, 20)
    with services.database.write() as tx:
        leases.claim(tx, owner="w", lease_seconds=30, now=clock.now)
    asked = client.post(f"/v1/jobs/{job_id}/cancel").json()
    assert (asked["state"], asked["cancel_requested"]) == ("running", True)


def test_a_failed_job_shows_its_problem(client: TestClient, services: Services, clock: Clock) -> None:
    job_id = submit(client, 20)
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=30, now=clock.now)
        assert job
        leases.report(tx, job_id, job.fence, {"stage": "fit", "fraction": 0.5})
    assert client.get(f"/v1/jobs/{job_id}").json()["progress"] == {"stage": "fit", "fraction": 0.5}
    with services.database.write() as tx:
        leases.fail(tx, job_id, job.fence, NotEnoughHistory("too few", have=3, need=9), now=clock.now)
    shown = client.get(f"/v1/jobs/{job_id}").json()
    assert shown["state"] == "failed"
    assert (shown["error"]["code"], shown["error"]["have"], shown["error"]["need"]) == ("not_enough_history", 3, 9)
    assert shown["finished_at"].endswith("Z")


def test_a_succeeded_job_shows_its_version(client: TestClient, services: Services, clock: Clock) -> None:
    job_id = submit(client, 20)
    result = {"version": 3, "promoted": True, "reasons": [], "url": "/v1/models/AAA/versions/3"}
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=30, now=clock.now)
        assert job
        leases.succeed(tx, job_id, job.fence, result, now=clock.now)
    assert client.get(f"/v1/jobs/{job_id}").json()["result"] == result


def test_no_job_is_404(client: TestClient) -> None:
    assert client.get("/v1/jobs/none").json()["code"] == "no_such_job"
    assert client.post("/v1/jobs/none/cancel").status_code == 404


def test_a_refresh_is_a_job_and_never_two(client: TestClient) -> None:
    first, again = client.post("/v1/refresh"), client.post("/v1/refresh")
    assert (first.status_code, first.json()["kind"], first.json()["ticker"]) == (202, "refresh", None)
    assert first.headers["location"] == first.json()["links"]["self"]
    assert (again.json()["job_id"], again.json()["deduplicated"]) == (first.json()["job_id"], True)


def test_a_refresh_is_of_all_tickers_and_takes_no_others(client: TestClient) -> None:
    assert client.post("/v1/refresh", json={}).status_code == 202
    refused = client.post("/v1/refresh", json={"tickers": ["AAA"]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/tickers"
    assert client.post("/v1/refresh", content=b"[", headers={"Content-Type": "application/json"}).status_code == 400
