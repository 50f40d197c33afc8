"""Start parts of the service as their users do, and look at them from outside."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from app.client import Client
from app.client.readiness import wait_until_ready

ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 120.0
_LOOK_SECONDS = 0.01  # what is measured is not how seldom one looks


def forget_settings() -> None:
    """Let nothing that is measured read how a service of this machine is set."""
    for name in [name for name in os.environ if name.startswith("MORROW_")]:
        del os.environ[name]


@contextlib.contextmanager
def running(*arguments: str, home: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m ARGUMENTS`` on the state in ``home`` while the block lasts; ``settings`` are variables."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"MORROW_HOME": str(home), "MORROW_SOURCE": "sample", "MORROW_LOG_LEVEL": "error"}
    # Requests are counted as everywhere; only there may be as many as come.
    environment |= {"MORROW_RATE_LIMIT": "100000000/minute", "MORROW_WRITE_RATE_LIMIT": "100000000/minute"} | settings
    process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running_api(*module: str, home: Path) -> Iterator[tuple[Client, int, float]]:
    """Run an API on a free port; yield its client, its process id and the seconds until it was ready."""
    port = free_port()
    started = time.perf_counter()
    with running(*module, "--port", str(port), home=home) as process:
        url, patience = f"http://127.0.0.1:{port}", {"seconds": _READY_SECONDS, "look_seconds": _LOOK_SECONDS}
        if not wait_until_ready(url, **patience, give_up=lambda: process.poll() is not None):
            raise SystemExit("the API did not get ready")
        took = time.perf_counter() - started
        with Client(url) as client:
            yield client, process.pid, took


def resident_megabytes(pid: int) -> float:
    """Return the memory that a process holds, in MB; pages of libraries that it shares are counted too."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
