"""A section of the bench: from an empty folder for its state to rows, and what becomes of one that breaks off."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.bench.rows import Row

Section = Callable[[Path], Iterable[Row]]


def section_of(name: str) -> Section:
    """Return the section in the module ``tests.bench.NAME``, imported when it runs: one that cannot be only fails."""

    def section(home: Path) -> Iterable[Row]:
        rows: Iterable[Row] = importlib.import_module(f"tests.bench.{name}").section(home)
        return rows

    return section


def rows_of(name: str, section: Section, home: Path) -> list[Row]:
    """Return the rows of ``section``; one that breaks off keeps those it had, and the last one says why."""
    rows: list[Row] = []
    try:
        for row in section(home):
            rows.append(row)
    # Parts of the service end with SystemExit when they cannot go on.
    except (Exception, SystemExit) as error:
        reason = str(error).strip().splitlines() or [""]
        rows.append(Row(what=name, failed=f"{type(error).__name__}: {reason[-1][:200]}"))
    return rows
