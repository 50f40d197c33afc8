"""How far the work is, told while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

#: The stage in which a network that is fed back simulates paths; nobody knows how much of the work that is.
PATHS = "paths"


class Report(Protocol):
    """Told how far the work is; raising from here ends it.

    ``fraction`` of the ``stage`` is done; ``numbers`` may hold ``epoch``, ``epochs``, ``loss`` and ``val_loss``.
    """

    def __call__(self, stage: str, fraction: float, /, **numbers: float) -> None:
        """Take note."""


def part_of(report: Report, stage: str, *, part: int, parts: int) -> Report:
    """Return a report for the piece ``part`` (from 0) of ``parts``, told as progress of the whole ``stage``.

    Only ``PATHS`` keeps its name: else the piece would stand at its end for as long as they take.
    """

    def told(begun: str, fraction: float, /, **numbers: float) -> None:
        if begun == PATHS:
            report(PATHS, fraction, **numbers)
        else:
            report(stage, (part + fraction) / parts, **numbers)

    return told


def all_of(reports: Sequence[Report]) -> Report:
    """Return a report that tells all of ``reports``."""

    def told(stage: str, fraction: float, /, **numbers: float) -> None:
        for report in reports:
            report(stage, fraction, **numbers)

    return told
