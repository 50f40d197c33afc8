"""How long each stage of a training took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.training.learner import Report


class Stopwatch:
    """Wall time by stage, in seconds; ``seconds`` grows while the training goes on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, report: Report) -> Iterator[None]:
        """Time the block as the stage ``name`` and report its beginning."""
        report(name, 0.0)
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)
