"""What every peer is given, and how it tells what it took. Needs NumPy alone: a peer's environment holds no more."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]
READY = "ready"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A round: with one model an epoch of it, with several all of them from nothing, ``epochs`` each.

    ``network`` is ``lstm`` or ``gru``; ``units`` has one size a layer.
    """

    network: str
    units: tuple[int, ...]
    window: int
    columns: int
    samples: int
    batch_size: int
    epochs: int = 1
    models: int = 1
    threads: int = 1

    def to_json(self) -> str:
        """Return the job as an argument of a program."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read back what ``to_json`` wrote."""
        values = json.loads(text)
        return cls(**{**values, "units": tuple(values["units"])})

    def windows(self, model: int = 0) -> tuple[Numbers, Numbers]:
        """Return inputs ``(samples, window, columns)`` and targets ``(samples, 1)`` of one model, the same for all."""
        random = np.random.default_rng(model)
        inputs = random.normal(size=(self.samples, self.window, self.columns)).astype(np.float32)
        return inputs, random.normal(size=(self.samples, 1)).astype(np.float32)


def compete(prepare: Callable[[Job], Callable[[], float]]) -> None:
    """Take the job from the command line, prepare it, and for each line that comes do a round and tell its seconds."""
    one_round = prepare(Job.from_json(sys.argv[1]))
    _tell(READY)
    for _ in sys.stdin:
        _tell(one_round())


def seconds_of(work: Callable[[], Any]) -> float:
    """Return how long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
