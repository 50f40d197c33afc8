"""An API that is restarted and versions that are swapped: streams, uploads, trainings and forecasts go on."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest

from app.bootstrap import open_services
from app.client import Client
from app.settings import Settings
from tests.api.rows import add_version, csv_of, network_of
from tests.bench.processes import running_api
from tests.chaos.entries.job import JOURNAL, REAL_EPOCHS
from tests.chaos.tables import tell
from tests.chaos.town import ask, patient, town
from tests.worker.support import job_of, wait_for

REAL = {"units": [2], "window": 5, "epochs": REAL_EPOCHS, "features": ["returns"], "batch_size": 512}
LONG = {"units": [50, 50], "window": 60, "batch_size": 32}  # far longer than a stop may take
STOP_SECONDS = 30
SWAPS = 60


@pytest.fixture
def journal(tmp_path, monkeypatch, environment):
    monkeypatch.setenv(JOURNAL, str(tmp_path / "journal"))


def kill_api(service):
    for pid in service.pids("api"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def answers_of(url, version):
    """What the version says of two histories, without the moment of asking."""
    days = csv_of(120).splitlines()[1:]
    names = ("session", "open", "high", "low", "close")
    said = []
    for scale in (1.0, 3.7):
        rows = [dict(zip(names, line.split(",")[:5], strict=True)) for line in days]
        bars = [{n: v if n == "session" else float(v) * scale for n, v in row.items()} for row in rows]
        status, answer, _ = ask(url, "/v1/forecasts", {"ticker": "^GSPC", "model": str(version), "bars": bars})
        assert status == 200, answer
        said.append({name: value for name, value in answer.items() if name not in ("issued_at", "forecast_id")})
    return said


def test_a_training_and_who_waits_for_it_outlive_the_api_and_its_version_answers_alike_everywhere(journal, tmp_path):
    home = tmp_path / "home"
    with town(tmp_path / "service.log", workers=1) as service:
        patient(lambda: service.ask("/readyz")[0] == 200)
        url = f"http://127.0.0.1:{service.port}"
        with Client(url) as client:
            job = client.train("^GSPC", spec=REAL, data={"source": "sample"}, promote="never")
            ended = []
            waiting = threading.Thread(target=lambda: ended.append(job.wait(timeout=200)))
            waiting.start()
            for _ in range(3):
                time.sleep(1.0)
                kill_api(service)
                patient(lambda: service.ask("/readyz")[0] == 200)
            waiting.join()
            told = service.ask(f"/v1/jobs/{job.id}")[1]
        first = answers_of(url, told["result"]["version"])
        kill_api(service)
        patient(lambda: service.ask("/readyz")[0] == 200)
        assert answers_of(url, told["result"]["version"]) == first, "after a restart"
        begun = time.monotonic()
        assert service.end() == 0
        took = time.monotonic() - begun
    assert ended, "who waited heard of the end"
    assert told["attempt"] == 1, "the training did not notice"
    assert took < STOP_SECONDS
    with running_api("app", "api", home=home) as (other, _, _):
        assert answers_of(other.url, told["result"]["version"]) == first, "in another process"
    tell("Graceful stop, seconds", ("", "took"), [("API, worker and supervisor", took)])


def test_an_upload_cut_off_by_the_death_of_the_api_leaves_nothing(journal, tmp_path):
    bars = csv_of(300).encode()
    with town(tmp_path / "service.log", workers=0) as service:
        patient(lambda: service.ask("/readyz")[0] == 200)
        with socket.create_connection(("127.0.0.1", service.port)) as caller:
            head = (
                f"POST /v1/tickers/UP/bars HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {len(bars)}"
            )
            caller.sendall(head.encode() + b"\r\n\r\n" + bars[: len(bars) // 2])
            time.sleep(0.3)
            kill_api(service)
            with suppress(OSError):
                assert caller.recv(100) == b""
        patient(lambda: service.ask("/readyz")[0] == 200)
        assert service.ask("/v1/tickers/UP/bars")[0] == 404
        assert service.ask("/v1/tickers/UP/bars", bars)[0] == 201


def test_open_streams_and_a_job_under_way_do_not_keep_the_service_from_stopping(services, journal, tmp_path):
    with town(tmp_path / "service.log", workers=1) as service:
        patient(lambda: service.ask("/readyz")[0] == 200)
        order = {"ticker": "^GSPC", "data": {"source": "sample"}, "spec": REAL | LONG}
        job_id = service.ask("/v1/train", order)[1]["job_id"]
        streams = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(5)]
        for stream in streams:
            stream.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: is_under_way(service.ask(f"/v1/jobs/{job_id}")[1]), seconds=60)
        begun = time.monotonic()
        assert service.end() == 0
        took = time.monotonic() - begun
        for stream in streams:
            stream.close()
    assert took < STOP_SECONDS
    job = job_of(services, job_id)
    assert (job.state, job.attempt) == ("queued", 0), "it was handed back, and no attempt is lost"
    tell("Graceful stop under five streams and a job, seconds", ("", "took"), [("all of it", took)])


def is_under_way(job):
    return job["state"] == "running" and job["progress"]


def test_versions_swapped_under_load_answer_every_request(environment, tmp_path):
    home = tmp_path / "home"
    services = open_services(Settings(home=home))
    for _ in range(2):
        add_version(services, "AAA", alias="blue", network=network_of())
    services.database.close()
    statuses, versions, over = Counter(), Counter(), threading.Event()

    def load(url):
        while not over.is_set():
            status, answer, _ = ask(url, "/v1/forecasts/AAA?model=blue", timeout=30)
            statuses[status] += 1
            versions[answer["model"]["version"] if status == 200 else None] += 1

    with running_api("app", "api", home=home) as (client, _, _):
        path = "/v1/models/AAA/aliases/blue"
        threads = [threading.Thread(target=load, args=(client.url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        swaps = Counter()
        for n in range(SWAPS):
            tag = ask(client.url, path)[2]["ETag"]
            body = {"version": 1 + n % 2, "reason": "to and fro"}
            swaps[ask(client.url, path, body, method="PUT", **{"If-Match": tag})[0]] += 1
        over.set()
        for thread in threads:
            thread.join()
    assert swaps == {200: SWAPS}
    assert set(statuses) == {200}
    assert set(versions) == {1, 2}
    tell("Versions swapped under load", ("", ""), [("swaps", SWAPS), ("forecasts answered 200", statuses[200])])
