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
        self.seconds[name] = round(time.perf_counter() - started, 3)
