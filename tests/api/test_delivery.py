"""Who hands in work does not wait for whoever carries word of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.api.app import create_app
from app.domain.job import Job
from app.forecasting.services import Services
from app.jobs import queries
from app.jobs.delivery.by_celery import CeleryDelivery
from tests.worker.support import wait_for


@dataclass
class Told:
    """Takes note of the jobs that are told of, as another process sees them at that moment."""

    services: Services
    jobs: list[Job] = field(default_factory=list)

    def send(self, jobs: Sequence[Job]) -> None:
        with self.services.database.read() as tx:
            self.jobs += [queries.get(tx, job.job_id) for job in jobs]

    def queue_of(self, kind: str) -> str:
        return kind

    def waiting(self) -> Mapping[str, int]:
        return {}


@pytest.fixture
def told(services: Services) -> Told:
    return Told(services)


@pytest.fixture
def client(services: Services, told: Told) -> Iterator[TestClient]:
    with TestClient(create_app(replace(services, delivery=told))) as client:
        yield client


@pytest.mark.parametrize("kind", ["train", "tune", "backtest", "refresh"])
def test_a_job_is_told_of_once_when_its_row_is_there(client: TestClient, told: Told, kind: str) -> None:
    body = {} if kind == "refresh" else {"ticker": "AAA"}
    answers = [client.post(f"/v1/{kind}", json=body, headers={"Idempotency-Key": key}) for key in ("a", "a", "b")]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert [(job.job_id, job.state) for job in told.jobs] == [(answers[0].json()["job_id"], "queued")]


def test_of_a_list_those_are_told_of_that_are_new(client: TestClient, told: Told) -> None:
    client.post("/v1/train", json={"ticker": "AAA"})
    client.post("/v1/train", json={"tickers": ["BBB", "AAA"]})
    assert [job.ticker for job in told.jobs] == ["AAA", "BBB"]


def test_nobody_is_told_of_what_was_refused(client: TestClient, told: Told) -> None:
    assert client.post("/v1/train", json={"ticker": "SHORT"}).status_code == 422
    assert told.jobs == []


class Silent:
    """A server that takes connections and answers nothing, until it hangs up."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]

    def hang_up(self) -> None:
        self._server.close()  # and with it all that wait to be accepted


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.hang_up()


def test_an_answer_does_not_wait_for_a_broker_that_is_silent(
    services: Services, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    celery_app = pytest.importorskip("app.jobs.delivery.celery_app", reason="the extra `scale` is not installed")
    monkeypatch.setattr(celery_app, "_CONNECT_SECONDS", 300.0)
    delivery = CeleryDelivery(f"redis://:sesame@127.0.0.1:{silent.port}/0", "train", 60)
    with capture_logs() as logs, TestClient(create_app(replace(services, delivery=delivery))) as client:
        answers = [client.post("/v1/train", json={"ticker": ticker}) for ticker in ("AAA", "BBB")]
        assert logs == [], "the broker is still being waited for"
        silent.hang_up()
        wait_for(lambda: logs)
        answers.append(client.post("/v1/backtest", json={"ticker": "AAA"}))
        wait_for(delivery._unsent.empty)
    assert [(answer.status_code, answer.json()["state"]) for answer in answers] == [(202, "queued")] * 3
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("broker is away: jobs are told of later", "warning")
    ]
    assert "sesame" not in str(logs)
