"""How long each stage of a training took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.training.report import Report


class Stopwatch:
    """Wall time by stage, in seconds; ``seconds`` grows while the training goes on."""

    def __init__(self, report: Report) -> None:
        self.seconds: dict[str, float] = {}
        self._report = report

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Report that the stage ``name`` begins, and time the block."""
        self._report(name, 0.0)
        started = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count time that was spent on the stage ``name``."""
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)
