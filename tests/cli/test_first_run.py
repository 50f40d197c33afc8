"""The service as a newcomer meets it: started, shown and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.client import Client
from app.client.readiness import is_ready
from tests.bench.processes import free_port
from tests.packaging import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]


class Service:
    """``morrow serve --first-run`` on fresh state, in a session of its own like one behind a terminal."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.port = free_port()
        self.api = Client(f"http://127.0.0.1:{self.port}")
        self.said = home / "said.txt"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve", "--first-run", "--port", str(self.port), *options],
                cwd=ROOT,
                env={**os.environ, "MORROW_HOME": str(home), "COLUMNS": "120"},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def left_behind(self) -> list[str]:
        """Return the command lines of processes that still work on this home."""
        mark = f"MORROW_HOME={self.home}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    def wait_until_said(self, words: str) -> str:
        while words not in self.said.read_text():
            assert self.process.poll() is None, self.said.read_text()
            try:
                self.process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        return self.said.read_text()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    started = Service(tmp_path_factory.mktemp("home"))
    yield started
    started.api.close()
    started.process.kill()
    started.process.wait()


def test_an_empty_registry_is_trained_shown_and_left_running(service):
    said = service.wait_until_said("Ctrl-C stops everything")
    assert "Training ^GSPC" in said
    assert "2019-01-02" in said
    assert "stale: the bars end on 2018-12-31" in said
    assert f"http://127.0.0.1:{service.port}/docs" in said
    assert is_ready(service.api.url)


def test_the_curl_lines_that_are_shown_work(service):
    said = service.wait_until_said("Ctrl-C stops everything")
    lines = [line.strip() for line in said.splitlines() if line.strip().startswith("curl ")]
    assert len(lines) >= 3
    for line in (line for line in lines if "/v1/train" not in line):
        result = subprocess.run(line.replace("curl -s", "curl -sf"), shell=True, capture_output=True, check=True)
        assert result.stdout.startswith(b"{")


def test_a_second_start_shows_the_forecast_at_once_and_ends_with_nought(service):
    service.wait_until_said("Ctrl-C stops everything")
    again = Service(shutil.copytree(service.home, service.home.parent / "copy"), "--once")
    assert again.process.wait(timeout=60) == 0
    assert "^GSPC: the next close" in again.said.read_text()
    assert "Training" not in again.said.read_text()
    assert again.left_behind() == []


def test_a_taken_port_is_refused_in_one_line(service):
    service.wait_until_said("Ctrl-C stops everything")
    result = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--first-run", "--port", str(service.port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: Port {service.port} is taken")
    assert len(result.stderr.splitlines()) == 1


def test_ctrl_c_stops_everything_and_leaves_no_process(service):
    service.wait_until_said("Ctrl-C stops everything")
    assert len(service.left_behind()) >= 3
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(timeout=40) == 0
    assert service.left_behind() == []
    assert "Traceback" not in service.said.read_text()
