"""A running service, as an operator would start it, and a few words to talk to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 150


@dataclass(frozen=True)
class Service:
    """The base address of a running ``morrow serve``."""

    url: str

    def ask(self, path: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
        """Return the status and the JSON of an answer, an error's too."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method or ("POST" if data else "GET")
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    def finished(self, path: str, body: Any) -> dict[str, Any]:
        """Submit a job and return it once it is over."""
        status, job = self.ask(path, body)
        assert status == 202, job
        return self.wait(job["links"]["self"])

    def wait(self, job_url: str) -> dict[str, Any]:
        """Return the job once it is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            _, job = self.ask(job_url)
            if job["state"] not in {"queued", "running"}:
                return job
            time.sleep(0.2)
        raise AssertionError(f"not over after {PATIENCE_SECONDS} s: {job}")


@contextmanager
def running(home: Path, command: str = "serve", **settings: str) -> Iterator[Service]:
    """Run ``morrow serve``, or ``morrow api``, for the length of the block, on a free port; it must end cleanly."""
    port = settings.get("MORROW_PORT") or _free_port()
    environment = {**os.environ, "MORROW_HOME": str(home), "MORROW_PORT": port, **settings}
    log = (home / "service.log").open("w")
    process = subprocess.Popen([sys.executable, "-m", "app", command], env=environment, stderr=log, stdout=log)
    service = Service(f"http://127.0.0.1:{port}")
    try:
        _wait_until_ready(service, process)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        log.close()
    assert code == 0, (home / "service.log").read_text()[-3000:]


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _wait_until_ready(service: Service, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if service.ask("/readyz")[0] == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the service did not become ready")
