"""Who may ask whether the service is ready, how much that costs, and how much of it strangers are told."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.api.app import create_app
from app.api.readiness import KEPT_SECONDS, Readiness
from app.artifacts.local import LocalArtifacts
from tests.api.keyed import bearer, make_key


class CountingStore(LocalArtifacts):
    """A store that remembers how often somebody looked at it."""

    looks = 0

    def check_writable(self) -> None:
        self.looks += 1
        super().check_writable()


@pytest.fixture
def store(services):
    return CountingStore(services.settings.models_dir)


@pytest.fixture
def watched(services, store):
    return replace(services, artifacts=store)


class Seconds:
    """A clock that stands still until the test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def break_store(services):
    shutil.rmtree(services.settings.models_dir, ignore_errors=True)
    services.settings.models_dir.write_text("a file where the folder should be")


def failing(answer):
    return [check["name"] for check in answer.json()["checks"] if not check["ok"]]


def details(answer):
    return {check["name"]: check["detail"] for check in answer.json()["checks"]}


def test_an_answer_is_kept_for_a_second_be_it_good_or_bad(watched, store):
    app, seconds = create_app(watched), Seconds()
    app.state.readiness = Readiness(watched, clock=seconds)
    with TestClient(app) as client:
        assert {client.get("/readyz").status_code for _ in range(20)} == {200}
        break_store(watched)
        seconds.now += KEPT_SECONDS - 0.01
        assert client.get("/readyz").status_code == 200
        assert store.looks == 1
        seconds.now += 0.01
        assert [failing(client.get("/readyz")) for _ in range(20)] == [["models_store"]] * 20
        watched.settings.models_dir.unlink()
        assert client.get("/readyz").status_code == 503
        seconds.now += KEPT_SECONDS
        assert client.get("/readyz").status_code == 200
        assert store.looks == 3


def test_a_check_that_fails_in_a_way_nobody_foresaw_is_one_that_fails_and_is_kept(watched, store):
    with watched.database.write() as tx:
        tx.exec_driver_sql("ALTER TABLE workers RENAME COLUMN seen_at TO changed")
    app = create_app(watched)
    app.state.readiness = Readiness(watched, clock=Seconds())
    with capture_logs() as logs, TestClient(app) as client:
        answers = [client.get("/readyz") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {503}
    assert failing(answers[0]) == ["workers"]
    assert details(answers[0])["workers"] == "The check itself failed; the log says how."
    assert [line["check"] for line in logs if line["event"] == "check_failed"] == ["workers"]
    assert store.looks == 1


def test_who_comes_while_somebody_looks_waits_for_that_look(watched, store):
    readiness = Readiness(watched, clock=Seconds())

    async def many():
        return await asyncio.gather(*(readiness.checks() for _ in range(50)))

    answers = asyncio.run(many())
    assert all(answer is answers[0] for answer in answers)
    assert store.looks == 1


def test_strangers_are_told_which_check_fails_and_no_more(services):
    _, key = make_key(services)
    break_store(services)
    with TestClient(create_app(services)) as client:
        told = client.get("/readyz", headers=key)
        assert (told.status_code, failing(told)) == (503, ["models_store"])
        assert "Not a directory" in details(told)["models_store"]
        assert "sqlite" in details(told)["database"]
        assert told.headers["vary"] == "Authorization"
        for headers in ({}, bearer("mrw_00000000_" + "x" * 43), {"Authorization": "Basic bWU6bWU="}):
            untold = client.get("/readyz", headers=headers)
            assert (untold.status_code, failing(untold)) == (503, ["models_store"])
            assert details(untold) == dict.fromkeys(details(told), "Details are for those who may read.")
            assert (untold.headers["vary"], untold.headers["retry-after"]) == ("Authorization", "5")


def test_wrong_keys_are_refused_to_nobody_and_noted_as_often_as_may_be_asked(services):
    make_key(services)
    limited = services.settings.model_copy(update={"rate_limit": "3/hour"})
    with capture_logs() as logs, TestClient(create_app(replace(services, settings=limited))) as client:
        wrong = bearer("mrw_00000000_" + "x" * 43)
        assert {client.get("/readyz", headers=wrong).status_code for _ in range(20)} == {200}
        assert {client.get("/readyz").status_code for _ in range(20)} == {200}
        assert client.get("/v1/models", headers=wrong).status_code == 429
    assert [line["path"] for line in logs if line["event"] == "access_denied"] == ["/readyz"] * 3


def test_a_service_without_keys_tells_its_own_machine_alone(services):
    with TestClient(create_app(services)) as client:
        assert "sqlite" in details(client.get("/readyz"))["database"]
        brought = client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (brought.status_code, set(details(brought).values())) == (200, {"Details are for those who may read."})
