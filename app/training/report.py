"""How far the work is, told while it goes on."""

from __future__ import annotations

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


class Share:
    """The report of one of several tasks that go on at the same time, told as progress of all of them."""

    def __init__(self, report: Report, done: list[float], place: int) -> None:
        self._report, self._done, self._place = report, done, place

    def __call__(self, stage: str, fraction: float, /, **numbers: float) -> None:
        """Tell how far all are together; each counts as much as any other."""
        self._done[self._place] = fraction
        self._report(stage, sum(self._done) / len(self._done), **numbers)

    def over(self) -> None:
        """Count the task as a whole one: it has ended, early or not."""
        self._done[self._place] = 1.0


def shares_of(report: Report, *, tasks: int) -> list[Share]:
    """Return a report for each of as many ``tasks``."""
    done = [0.0] * tasks
    return [Share(report, done, place) for place in range(tasks)]
