"""How much one caller may ask for: requests, jobs, streams."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from dataclasses import replace

import httpx2
import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.api import limiter as limiting
from app.api import watch
from app.api.app import create_app
from app.api.guard import owner_of
from app.api.keyring import OPEN
from app.api.limiter import Limiter
from app.domain.access import Scope
from app.jobs.submission import active_of, submit
from tests.api.conftest import serving
from tests.api.keyed import make_key, revoke_key
from tests.api.rows import NOW, add_version
from tests.api.test_events import uncounted
from tests.bench.processes import free_port
from tests.db.databases import database, database_url, migrated_file, migrated_schema
from tests.e2e.service import running
from tests.support.redis_server import redis_server

__all__ = ["database", "database_url", "migrated_file", "migrated_schema", "uncounted"]

FORECAST = "/v1/forecasts/AAA"


def limited(services, **settings):
    return replace(services, settings=services.settings.model_copy(update=settings))


def test_one_more_than_may_come_is_put_off_and_others_are_not(services):
    (_, one), (_, other) = make_key(services), make_key(services)
    with TestClient(create_app(limited(services, rate_limit="3/hour"))) as client:
        assert [client.get("/v1/models", headers=one).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = client.get("/v1/models", headers=one)
        assert (refused.json()["code"], refused.json()["most"]) == ("too_many_requests", 3)
        seconds = refused.json()["retry_after_seconds"]
        assert 0 < seconds <= 3600
        assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"] == str(seconds)
        assert (refused.headers["ratelimit-limit"], refused.headers["ratelimit-remaining"]) == ("3", "0")
        assert client.get("/v1/models", headers=other).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_the_hot_path_counts_too(services):
    add_version(services, alias="champion")
    _, key = make_key(services)
    with TestClient(create_app(limited(services, rate_limit="6/hour"))) as client:
        assert [client.get(FORECAST, headers=key).status_code for _ in range(8)] == [200] * 6 + [429] * 2


def test_without_a_key_an_address_is_counted_and_failures_count(services):
    make_key(services)
    with TestClient(create_app(limited(services, rate_limit="2/hour"))) as client:
        wrong = {"Authorization": "Bearer mrw_00000000_" + "x" * 43}
        assert [client.get("/v1/models", headers=wrong).status_code for _ in range(3)] == [401, 401, 429]
        assert client.get("/v1/models").status_code == 429


def test_writes_are_counted_apart(services):
    _, key = make_key(services, Scope.TRAIN)
    with TestClient(create_app(limited(services, rate_limit="1/hour", write_rate_limit="2/hour"))) as client:
        assert [client.post("/v1/refresh", headers=key).status_code for _ in range(3)] == [202, 202, 429]
        assert [client.get("/v1/jobs", headers=key).status_code for _ in range(2)] == [200, 429]


def test_an_empty_limit_is_none(services):
    with TestClient(create_app(limited(services, rate_limit="", write_rate_limit=""))) as client:
        assert {client.get("/v1/models").status_code for _ in range(50)} == {200}


class Seconds:
    """A clock that stands still until the test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_window_is_over_when_its_time_is_and_says_until_when():
    seconds = Seconds()
    limiter = Limiter(reads="2/minute", writes="", storage="memory", clock=seconds)

    async def asked(times):
        return [await limiter.admits("one", is_write=False) for _ in range(times)]

    assert asyncio.run(asked(3)) == [True, True, False]
    seconds.now += 59.5
    assert asyncio.run(asked(1)) == [False]
    assert asyncio.run(limiter.refusal("one", is_write=False)).facts["retry_after_seconds"] == 1
    seconds.now += 0.5
    assert asyncio.run(asked(3)) == [True, True, False]


def test_a_flood_of_addresses_is_remembered_in_part(monkeypatch):
    monkeypatch.setattr(limiting, "MOST_CALLERS", 100)
    limiter = Limiter(reads="1/hour", writes="", storage="memory", clock=Seconds())

    async def asked(networks):
        return [await limiter.admits(f"2001:db8:{n:x}::/64", is_write=False) for n in networks]

    assert all(asyncio.run(asked(range(5000))))
    assert len(limiter._counts._windows) == 100
    assert not any(asyncio.run(asked(range(4900, 5000)))), "the newest are remembered"
    assert asyncio.run(asked([0])) == [True], "who is forgotten is let in"


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("x" * 60_000, "unknown"),
        (None, "unknown"),
    ],
)
def test_addresses_that_one_customer_chooses_from_are_counted_together(address, owner):
    scope = {"client": (address, 5000) if address else None}
    assert owner_of(OPEN, scope) == owner


@pytest.mark.redis
@pytest.mark.slow
def test_with_redis_all_processes_count_together(services, tmp_path):
    _, key = make_key(services)
    with redis_server() as redis:
        settings = {"MORROW_RATE_LIMIT": "4/hour", "MORROW_RATE_LIMIT_STORAGE": redis.url}
        with running(tmp_path / "home", "api", **settings) as one, running(tmp_path / "home", "api", **settings) as two:
            asked = [httpx2.get(f"{service.url}/v1/models", headers=key) for service in (one, two) * 3]
    assert sorted(answer.status_code for answer in asked) == [200] * 4 + [429] * 2


def test_while_redis_is_away_everything_passes_and_is_told_once(services):
    _, key = make_key(services)
    nobody = limited(services, rate_limit="1/hour", rate_limit_storage=f"redis://127.0.0.1:{free_port()}/0")
    with capture_logs() as logs, serving(nobody) as url:
        assert {httpx2.get(f"{url}/v1/models", headers=key).status_code for _ in range(5)} == {200}
    assert [line["log_level"] for line in logs if line["event"] == "rate_limits_are_off"] == ["warning"]


def test_a_redis_that_says_nothing_holds_nobody_up_for_long(services, monkeypatch):
    monkeypatch.setattr(limiting, "_REST_SECONDS", 3600.0)
    _, key = make_key(services)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and never answers
        url_of_it = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with serving(limited(services, rate_limit="1/hour", rate_limit_storage=url_of_it)) as url:
            assert {httpx2.get(f"{url}/v1/models", headers=key).status_code for _ in range(5)} == {200}


def test_jobs_beyond_the_quota_are_refused_as_a_whole(services):
    (key_id, one), (_, other) = make_key(services, Scope.TRAIN), make_key(services, Scope.TRAIN)
    with TestClient(create_app(limited(services, max_jobs_per_key=2))) as client:

        def train(tickers, headers, **spec):
            body = {"tickers": tickers, "spec": {"epochs": 1, **spec}}
            return client.post("/v1/train", json=body, headers=headers)

        assert train(["AAA"], one).status_code == 202
        refused = train(["AAA", "BBB"], one, seed=2)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert (refused.json()["have"], refused.json()["need"]) == (2, 3)
        assert "retry-after" in refused.headers
        assert len(client.get("/v1/jobs", headers=one).json()["items"]) == 1
        assert train(["AAA"], one).json()["items"][0]["deduplicated"] is True
        assert train(["AAA", "BBB"], other, seed=2).status_code == 202
        jobs = client.get("/v1/jobs", headers=one).json()["items"]
        (mine,) = [job for job in jobs if job["submitted_by"] == f"my train ({key_id})"]
        assert client.post("/v1/refresh", headers=one).status_code == 202
        assert client.post(f"/v1/jobs/{mine['job_id']}/cancel", headers=one).status_code == 202
        assert train(["BBB"], one, seed=3).status_code == 202


def test_only_jobs_that_wait_or_run_count(database):
    with database.write() as tx:
        for number in range(3):
            submit(tx, kind="train", ticker="A", payload={}, dedupe=str(number), submitted_by="one", now=NOW)
        submit(tx, kind="train", ticker="A", payload={}, dedupe="3", submitted_by="other", now=NOW)
        assert [active_of(tx, name) for name in ("one", "other", "nobody")] == [3, 1, 0]


def test_one_key_has_some_streams_and_leaves_the_others_to_others(services, monkeypatch):
    monkeypatch.setattr(watch, "MAX_STREAMS_OF_ONE", 2)
    (_, one), (_, other) = make_key(services), make_key(services)
    with serving(services) as url, ExitStack() as streams:

        def listen(key):
            client = streams.enter_context(httpx2.Client(base_url=url, headers=key, timeout=30))
            source = streams.enter_context(client.sse("/v1/events"))
            assert source.response.status_code == 200
            return source

        listen(one), listen(one)
        refused = httpx2.get(f"{url}/v1/events", headers=one)
        assert (refused.status_code, refused.json()["code"], refused.json()["most"]) == (429, "too_many_own_streams", 2)
        assert int(refused.headers["retry-after"]) > 0
        listen(other)


def test_the_stream_of_a_revoked_key_ends(services):
    key_id, key = make_key(services)
    with serving(services) as url, httpx2.Client(base_url=url, headers=key, timeout=30) as client:
        with client.sse("/v1/events") as source:
            events = iter(source)
            assert next(events).event == "edition"
            revoke_key(services, key_id)
            assert list(events) == []
        assert client.get("/v1/events").status_code == 401
