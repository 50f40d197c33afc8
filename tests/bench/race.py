"""Peers against the clock, in turns: each in the form that suits it, one process with all threads or one a core."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from tests.bench.peers.job import READY, Job
from tests.bench.processes import ROOT

BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
LONGEST_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A program that trains, what it is called, and the Python that has its libraries."""

    name: str
    module: str
    python: Path = Path(sys.executable)

    @property
    def is_available(self) -> bool:
        """Whether its environment is there."""
        return self.python.exists()


OURS = Peer(name="Morrow", module="tests.bench.peers.our_fit")
KERAS = Peer(name="Keras fit", module="tests.bench.peers.keras_fit")
PYTORCH = Peer(name="PyTorch", module="tests.bench.peers.torch_fit", python=BENCH_PYTHON)


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A peer that does ``job`` in as many ``processes`` at once."""

    peer: Peer
    job: Job
    processes: int

    @property
    def form(self) -> str:
        """How it uses the machine, such as ``2 × 1 thread``."""
        return f"{self.processes} × {self.job.threads} thread{'s' if self.job.threads > 1 else ''}"


@dataclass(frozen=True, kw_only=True)
class Raced:
    """Seconds of the whole machine that one job took, one a round and process: of two at a time each counts half."""

    entrant: Entrant
    seconds: tuple[float, ...]


def entrants(peer: Peer, job: Job) -> list[Entrant]:
    """Return ``peer`` in the forms that this machine offers."""
    cores = os.cpu_count() or 1
    alone = Entrant(peer=peer, job=replace(job, threads=cores), processes=1)
    return [alone, a_core_each(peer, job)] if cores > 1 else [alone]


def a_core_each(peer: Peer, job: Job) -> Entrant:
    """Return ``peer`` as one process a core."""
    return Entrant(peer=peer, job=replace(job, threads=1), processes=os.cpu_count() or 1)


def race(among: Sequence[Entrant], *, rounds: int) -> dict[Peer, Raced]:
    """Let all prepare, then let them go in turns, so that a busy machine hurts all alike; keep each peer's best form.

    Those whose environment is missing are left out.

    Raises:
        RuntimeError: a process broke off or took too long.
    """
    with contextlib.ExitStack() as stack:
        teams = [(one, _team(one, stack)) for one in among if one.peer.is_available]
        seconds: list[list[float]] = [[] for _ in teams]
        for _ in range(rounds):
            for kept, (_, team) in zip(seconds, teams, strict=True):
                kept += _go(team)
    best: dict[Peer, Raced] = {}
    for (entrant, _), values in zip(teams, seconds, strict=True):
        raced = Raced(entrant=entrant, seconds=tuple(values))
        known = best.get(entrant.peer)
        if known is None or statistics.median(values) < statistics.median(known.seconds):
            best[entrant.peer] = raced
    return best


class _Runner:
    """One process of a peer; it answers in lines of JSON."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._process, self._errors = process, errors

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> float | str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError((self._errors.read().strip().splitlines() or ["a peer took too long"])[-1])
        said: float | str = json.loads(line)
        return said


def _team(entrant: Entrant, stack: contextlib.ExitStack) -> list[_Runner]:
    """Start the processes of ``entrant`` and wait until they have prepared."""
    team = [stack.enter_context(_runner(entrant.peer, entrant.job)) for _ in range(entrant.processes)]
    for runner in team:
        if runner.hear() != READY:
            raise RuntimeError(f"{entrant.peer.name} did not get ready")
    return team


def _go(team: Sequence[_Runner]) -> list[float]:
    for runner in team:
        runner.say("go")
    return [float(runner.hear()) / len(team) for runner in team]


@contextlib.contextmanager
def _runner(peer: Peer, job: Job) -> Iterator[_Runner]:
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(job.threads)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(peer.python), "-m", peer.module, job.to_json()],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        too_long = threading.Timer(LONGEST_SECONDS, process.kill)
        too_long.start()
        try:
            yield _Runner(process, errors)
        finally:
            too_long.cancel()
            process.kill()
            process.communicate()
