"""What was measured, as tables at the end of the run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

TOLD: list[Table] = []
"""The tables of this run, in the order of the tests."""


def show(table: Table) -> None:
    """Print a table to the terminal."""
    Console().print(table)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table; figures stand on the right."""
    made = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place else "left")
    for row in rows:
        made.add_row(*map(_text, row))
    return made


def tell(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Keep a table for the end of the run."""
    TOLD.append(table(title, columns, rows))


def _text(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
