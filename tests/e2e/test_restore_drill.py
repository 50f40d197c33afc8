"""The drill: a service that has trained is backed up while it writes, destroyed, restored, and answers as before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.service import Service, running

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

QUICK = {"spec": {"units": [2], "window": 5, "epochs": 1}, "evaluation": {"kind": "fixed", "test_fraction": 0.1}}
ASKED = ("/v1/forecasts/%5EGSPC?model=1", "/v1/models/%5EGSPC/versions/1", "/v1/forecasts/%5EGSPC?model=champion")


def test_what_was_destroyed_answers_byte_for_byte_as_before(tmp_path: Path):
    home, archive = tmp_path / "home", tmp_path / "backup.tar"
    home.mkdir()
    with running(home, MORROW_SOURCE="sample", MORROW_LEASE_SECONDS="5") as service:
        train(service)
        before = [bytes_of(service, path) for path in ASKED]
        stop = threading.Event()
        writer = threading.Thread(target=keep_writing, args=(service, stop))
        writer.start()
        try:
            said = morrow("backup", str(archive), MORROW_HOME=str(home))
        finally:
            stop.set()
            writer.join()
    shutil.rmtree(home)
    assert "1 bundle," in said
    morrow("restore", str(archive), "--home", str(home))
    assert "each as it was issued" in morrow("verify", MORROW_HOME=str(home))
    with running(home, MORROW_SOURCE="sample", MORROW_LEASE_SECONDS="5") as service:
        assert [bytes_of(service, path) for path in ASKED] == before
        # And it goes on: what waited or ran when the backup was taken comes to its end.
        for job in service.ask("/v1/jobs")[1]["items"]:
            assert service.wait(job["links"]["self"])["state"] == "succeeded"


def train(service: Service) -> None:
    job = service.finished("/v1/train", {"ticker": "^GSPC", "data": {"source": "sample"}, **QUICK})
    assert job["state"] == "succeeded", job["error"]


def keep_writing(service: Service, stop: threading.Event) -> None:
    """Let the worker write all the time: one refresh after the other."""
    while not stop.is_set():
        service.finished("/v1/refresh", {})


def bytes_of(service: Service, path: str) -> bytes:
    # The address is another after the restart, and nothing of an answer may depend on it.
    with urllib.request.urlopen(service.url + path, timeout=30) as answer:
        data: bytes = answer.read()
        return data.replace(service.url.encode(), b"")


def morrow(*arguments: str, **settings: str) -> str:
    environment = {**os.environ, **settings}
    command = [sys.executable, "-m", "app", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
