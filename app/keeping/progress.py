"""What a long work says of itself while it goes on."""

from __future__ import annotations

from collections.abc import Callable

#: Called with what is being done, how much of it is done, and of how much (``None``: not known).
Report = Callable[[str, int, int | None], None]


def silent(doing: str, done: int, total: int | None) -> None:
    """Say nothing."""
