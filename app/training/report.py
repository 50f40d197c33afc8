"""How far the work is, told while it goes on."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Told how far the work is; raising from here ends it.

    ``fraction`` of the ``stage`` is done; ``numbers`` may hold ``epoch``, ``epochs``, ``loss`` and ``val_loss``.
    """

    def __call__(self, stage: str, fraction: float, /, **numbers: float) -> None:
        """Take note."""


def part_of(report: Report, stage: str, *, part: int, parts: int) -> Report:
    """Return a report for the piece ``part`` (from 0) of ``parts``, told as progress of the whole ``stage``."""

    def told(_: str, fraction: float, /, **numbers: float) -> None:
        report(stage, (part + fraction) / parts, **numbers)

    return told
