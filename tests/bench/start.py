"""From a command to its first word, and what the process holds then."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.processes import ROOT, resident_megabytes, running_api
from tests.bench.rows import Row, measured

ROUNDS = 5


def section(home: Path) -> Iterator[Row]:
    """Start the command line and the API; the first of each does not count, it writes bytecode and the database."""
    helped = [_help_seconds() for _ in range(ROUNDS + 1)][1:]
    yield Row(what="morrow --help", ours=measured(helped, "s"), at_most=0.3)
    started, held = [], []
    for _ in range(ROUNDS + 1):
        with running_api("app", "api", home=home) as (_, pid, seconds):
            time.sleep(0.5)
            started.append(seconds)
            held.append(resident_megabytes(pid))
    yield Row(what="API, from start to ready", ours=measured(started[1:], "s"), at_most=1)
    yield Row(what="API, memory after start", ours=measured(held[1:], "MB"), at_most=160)


def _help_seconds() -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    command = [sys.executable, "-m", "app", "--help"]
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
