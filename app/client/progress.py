"""A job's progress as one moving line."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

# Where a stage begins and ends on the whole bar of its kind; its own fraction lies between. The fits take longest:
# those of a universe are made window by window, before it is judged.
_STAGES = {
    "train": {"prices": (0.0, 0.02), "fit": (0.02, 0.85), "backtest": (0.85, 0.95), "export": (0.95, 0.99)},
    "universe": {"backtest": (0.02, 0.75), "judge": (0.75, 0.8), "fit": (0.8, 0.95), "export": (0.95, 0.99)},
    "backtest": {"prices": (0.0, 0.02), "backtest": (0.02, 0.99)},
    "tune": {"tune": (0.02, 0.99)},
    "refresh": {"refresh": (0.0, 0.99)},
}


class Shown(Protocol):
    """What a bar has to know of a job."""

    @property
    def kind(self) -> str:
        """``train``, ``backtest``, ``tune`` or ``refresh``."""

    @property
    def ticker(self) -> str | None:
        """Its ticker; ``None`` when it is of several."""

    @property
    def state(self) -> str:
        """``queued``, ``running`` or how it ended."""

    @property
    def progress(self) -> Mapping[str, Any] | None:
        """``stage``, ``fraction`` of it, and what the stage tells."""


class JobBar:
    """A bar that follows ``job.progress``, on standard error or on ``console``; use it as a context manager."""

    def __init__(self, title: str, *, console: Console | None = None) -> None:
        console = console or Console(stderr=True, highlight=False, emoji=False)
        columns = (TextColumn(title), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
        self._progress = Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=False)
        self._task: TaskID = self._progress.add_task("", total=1.0, note="queued")

    def __enter__(self) -> JobBar:
        try:
            with _signals_held_back():
                self._progress.start()
        except BaseException:  # a signal that came meanwhile: the bar would go on being drawn
            self._progress.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: Shown) -> None:
        """Show where the job stands."""
        facts = job.progress or {}
        completed = 1.0 if job.state == "succeeded" else _completed(job, facts)
        self._progress.update(self._task, completed=completed, note=_note(job.state, facts))


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM wait: rich, interrupted while it begins, can neither go on nor be stopped."""
    known: dict[int, Any] = {}
    came: list[tuple[int, FrameType | None]] = []
    if threading.current_thread() is threading.main_thread():  # no other is interrupted
        known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.ExitStack() as restoring:
            for number, handler in known.items():
                if handler is not None:  # of C's making, and C's to restore
                    restoring.callback(signal.signal, number, handler)
                    signal.signal(number, lambda *call: came.append(call))
            yield
    finally:
        for number, frame in came:
            # Called and not raised anew: an event loop that handles signals has heard of it already.
            known[number](number, frame) if callable(known[number]) else signal.raise_signal(number)


def _completed(job: Shown, facts: Mapping[str, Any]) -> float | None:
    """Return the share of the whole work; ``None``, which moves nothing, in a stage of unknown weight."""
    stages = _STAGES["universe" if job.kind == "train" and job.ticker is None else job.kind]
    if facts.get("stage") not in stages:
        return None
    begin, end = stages[facts["stage"]]
    return begin + (end - begin) * float(facts.get("fraction") or 0.0)


def _note(state: str, facts: Mapping[str, Any]) -> str:
    if state != "running":
        return state
    parts = [str(facts.get("stage", "starting"))]
    if facts.get("trial") and facts.get("trials"):
        parts.append(f"trial {facts['trial']}/{facts['trials']}")
    if facts.get("epoch") and facts.get("epochs"):
        parts.append(f"epoch {facts['epoch']}/{facts['epochs']}")
    if facts.get("loss") is not None:
        parts.append(f"loss {facts['loss']:.4g}")
    if facts.get("best") is not None:
        parts.append(f"best CRPS {facts['best']:.4g}")
    if facts.get("eta_seconds"):
        parts.append(f"about {facts['eta_seconds']:.0f} s left")
    return ", ".join(parts)
