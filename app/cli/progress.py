"""A training's progress as one moving line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from app.cli.console import err

# Where a stage begins and ends on the whole bar; its own fraction lies between. The backtest takes longest.
_STAGES = {
    "prices": (0.0, 0.02),
    "backtest": (0.02, 0.75),
    "fit": (0.75, 0.9),
    "export": (0.9, 0.99),
    "tune": (0.02, 0.99),
}


class JobBar:
    """A bar that follows ``job.progress``; use it as a context manager."""

    def __init__(self, title: str) -> None:
        columns = (TextColumn(title), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
        self._progress = Progress(*columns, TextColumn("{task.fields[note]}"), console=err, transient=False)
        self._task: TaskID = self._progress.add_task("", total=1.0, note="queued")

    def __enter__(self) -> JobBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, state: str, progress: Mapping[str, Any] | None) -> None:
        """Show where the job stands."""
        facts = progress or {}
        completed = 1.0 if state == "succeeded" else _completed(facts)
        self._progress.update(self._task, completed=completed, note=_note(state, facts))


def _completed(facts: Mapping[str, Any]) -> float | None:
    """Return the share of the whole work; ``None``, which moves nothing, in a stage of unknown weight."""
    if facts.get("stage") not in _STAGES:
        return None
    begin, end = _STAGES[facts["stage"]]
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
