"""A PostgreSQL of the test's own, on an address of its choice."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.processes import free_port


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found or os.geteuid() != 0 or shutil.which("runuser") is None:
        pytest.skip("a PostgreSQL of the test's own needs root, runuser and the server's programs")
    return found[-1].parent


@dataclass(frozen=True)
class PostgresServer:
    """A server in a folder of its own, which may be killed and started again."""

    programs: Path
    folder: Path
    address: str
    port: int

    @property
    def url(self) -> str:
        """Where its empty database is."""
        return f"postgresql+psycopg://postgres@{self.address}:{self.port}/postgres"

    def make(self) -> None:
        self._run("initdb", "--auth=trust", "--no-sync")
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses={self.address} -c fsync=off"
        self._run("pg_ctl", "--wait", f"--log={self.folder}/log", f"--options={options}", "start")

    def kill(self) -> None:
        """End it at once: nobody is told, nothing is tidied up."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [f"{self.programs}/{program}", f"--pgdata={self.folder}/data", *arguments]
        subprocess.run(["runuser", "-u", "postgres", "--", *command], cwd=self.folder, capture_output=True, check=True)


@contextmanager
def postgres_server(address: str = "127.0.0.1") -> Iterator[PostgresServer]:
    """Run a server for the length of the block; skip where there is none to run."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="morrow-pg-", ignore_cleanup_errors=True) as folder:
        shutil.chown(folder, "postgres")
        server = PostgresServer(programs, Path(folder), address, free_port())
        server.make()
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # the test has killed it
                server.kill()
