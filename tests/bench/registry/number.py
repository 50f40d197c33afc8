"""A measured number beside its goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measured number; ``at_most`` is its goal, without it the number is only told."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
