"""The whole service with a broker, as an operator starts it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bench.processes import ROOT
from tests.e2e.service import Service, running
from tests.support.redis_server import RedisServer, redis_server
from tests.worker.support import wait_for

pytest.importorskip("celery", reason="the extra `scale` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.redis]


@pytest.fixture
def redis():
    with redis_server() as server:
        yield server


def settings_of(redis: RedisServer) -> dict[str, str]:
    return {"MORROW_BROKER_URL": redis.url, "MORROW_SOURCE": "sample", "MORROW_WORKERS": "1"}


def is_manned(service: Service) -> bool:
    checks = service.ask("/readyz")[1]["checks"]
    return any(check["name"] == "workers" and check["detail"].startswith("1 alive") for check in checks)


def test_the_service_does_its_jobs_and_counts_its_workers(tmp_path, redis):
    with running(tmp_path, **settings_of(redis)) as service:
        wait_for(lambda: is_manned(service), seconds=120)
        job = service.finished("/v1/refresh", {})
    assert (job["state"], job["attempt"]) == ("succeeded", 1)


def test_what_is_handed_in_while_the_broker_is_away_is_done_when_it_is_back(tmp_path, redis):
    redis.kill()
    with running(tmp_path, **settings_of(redis)) as service:
        status, job = service.ask("/v1/refresh", {})
        assert (status, job["state"]) == (202, "queued")
        wait_for(lambda: is_manned(service), seconds=120)
        assert service.ask(job["links"]["self"])[1]["state"] == "queued"
        redis.start()
        done = service.wait(job["links"]["self"])
    assert (done["state"], done["attempt"]) == ("succeeded", 1)


def test_a_command_on_this_machine_is_done_by_the_workers_there_are(tmp_path, redis):
    with running(tmp_path, **settings_of(redis)) as service:
        wait_for(lambda: is_manned(service), seconds=120)
        environment = {**os.environ, **settings_of(redis), "MORROW_HOME": str(tmp_path)}
        command = [sys.executable, "-m", "app", "refresh"]
        said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150)
    assert said.returncode == 0, said.stderr
    assert "working in here" not in said.stderr
    assert "0 refreshed" in said.stdout
