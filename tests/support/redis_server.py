"""A Redis of the test's own, which may be killed with all that it holds."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from tests.bench.processes import free_port

PASSWORD = "open-sesame"


@dataclass
class RedisServer:
    """A server on a port of its own, which keeps nothing on disk."""

    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@{self.address}:{self.port}/0"

    def start(self) -> None:
        options = ("--port", str(self.port), "--bind", self.address, "--save", "", "--appendonly", "no")
        command = ["redis-server", *options, "--requirepass", PASSWORD, "--loglevel", "warning"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection((self.address, self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def redis_server(address: str = "127.0.0.1", *, running: bool = True) -> Iterator[RedisServer]:
    """A server for the length of the block; skip where Redis is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = RedisServer(address)
    if running:
        server.start()
    try:
        yield server
    finally:
        server.kill()
