"""What a section of the bench hands over: one row a figure, with its peer, its goal and its verdict."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The median of what was measured; a tenth of it lies below ``low``, and a tenth above ``high``."""

    value: float
    low: float
    high: float
    unit: str

    @property
    def text(self) -> str:
        """The median with its unit, and the ends where they differ from it."""
        median = f"{short(self.value)} {self.unit}".strip()
        ends = (short(self.low), short(self.high))
        return median if ends == (short(self.value),) * 2 else f"{median} ({'–'.join(ends)})"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure of ours, and where there is one that of the peer that a user would pick instead.

    The goal, ``at_least`` or ``at_most``, is that of ``ratio`` where there is a ``peer``, else that of our figure.
    ``note`` says what a reader has to know, above all what was extrapolated. ``failed`` is why there is no figure.
    """

    what: str
    ours: Measured | None = None
    peer: str = ""
    theirs: Measured | None = None
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    failed: str | None = None

    @property
    def goal(self) -> str | None:
        """The goal as it is printed; ``None`` for what is only told."""
        if self.at_least is None and self.at_most is None:
            return None
        sign, limit = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        of_ratio = bool(self.peer)
        unit = "x" if of_ratio else f" {self.ours.unit}" if self.ours and self.ours.unit else ""
        return f"{sign} {limit:g}{unit}"

    @property
    def verdict(self) -> str | None:
        """``met`` or ``missed``, ``not available`` without a peer to hold it against, ``failed``, or nothing."""
        if self.failed is not None:
            return "failed"
        measured = self.ratio if self.peer else self.ours and self.ours.value
        if measured is None:
            return "not available"
        if self.goal is None:
            return None
        is_met = measured >= self.at_least if self.at_least is not None else measured <= (self.at_most or 0.0)
        return "met" if is_met else "missed"


def measured(values: Sequence[float], unit: str) -> Measured:
    """Sum up ``values``, one a round."""
    low, high = np.quantile(values, [0.1, 0.9])
    return Measured(value=statistics.median(values), low=float(low), high=float(high), unit=unit)


def once(value: float, unit: str) -> Measured:
    """Return what was measured a single time."""
    return measured([value], unit)


def quicker(what: str, ours: Measured, peer: str, theirs: Measured | None, *, at_least: float, note: str = "") -> Row:
    """Set durations beside each other: the ratio is how many times as long the peer takes."""
    ratio = theirs.value / ours.value if theirs else None
    return Row(what=what, ours=ours, peer=peer, theirs=theirs, ratio=ratio, at_least=at_least, note=note)


def more(what: str, ours: Measured, peer: str, theirs: Measured | None, *, at_least: float, note: str = "") -> Row:
    """Set rates beside each other: the ratio is how many times as many we do."""
    ratio = ours.value / theirs.value if theirs else None
    return Row(what=what, ours=ours, peer=peer, theirs=theirs, ratio=ratio, at_least=at_least, note=note)


def within(what: str, ours: Measured, peer: str, theirs: Measured, *, at_most: float) -> Row:
    """Set beside each other what should not grow: the ratio is how many times as much ours is."""
    return Row(what=what, ours=ours, peer=peer, theirs=theirs, ratio=ours.value / theirs.value, at_most=at_most)


def short(value: float) -> str:
    """Return ``value`` with the digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
