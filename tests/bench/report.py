"""Rows become the table that is printed, the JSON that is kept, and by ``python -m tests.bench.report`` Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from app import __version__
from app.cli.console import out, table
from tests.bench.processes import ROOT
from tests.bench.rows import Measured, Row, short

RESULTS = ROOT / "bench-results.json"
COLUMNS = ("what", "peer", "ours", "ratio", "goal", "verdict")


def table_of(rows: Iterable[Row]) -> Table:
    """Return the table; under a row stands what its reader has to know."""
    return table(*COLUMNS, rows=[_cells(row) for row in rows])


def markdown(kept: Mapping[str, Any]) -> str:
    """Return what ``document`` made as a table of Markdown."""
    rows = [_cells(_read(row)) for row in kept["rows"]]
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return "\n".join(
        "| " + " | ".join("–" if cell is None else _one_line(cell) for cell in line) + " |" for line in lines
    )


def document(rows: Mapping[str, list[Row]], seconds: Mapping[str, float], *, now: datetime) -> dict[str, Any]:
    """Return all rows, JSON-ready, with the machine and what each section took."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "measured_at": now.isoformat(),
        "machine": machine(),
        "seconds": {section: round(spent, 1) for section, spent in seconds.items()},
        "rows": [
            {"section": section, **asdict(row), "goal": row.goal, "verdict": row.verdict}
            for section, of_section in rows.items()
            for row in of_section
        ],
    }


def machine() -> dict[str, Any]:
    """Describe the machine as far as it says of itself what it is."""
    cpu = _first_value(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine()
    memory = _first_value(Path("/proc/meminfo"), "MemTotal")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory.split()[0]) / 2**20, 1) if memory else None,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _read(kept: Mapping[str, Any]) -> Row:
    values = {one.name: kept[one.name] for one in fields(Row)}
    figures = {name: Measured(**values[name]) for name in ("ours", "theirs") if values[name]}
    return Row(**{**values, **figures})


def _one_line(cell: object) -> str:
    return "; ".join(line.strip() for line in str(cell).splitlines())


def _cells(row: Row) -> tuple[object, ...]:
    what = f"{row.what}\n  {row.note}" if row.note else row.what
    theirs = row.theirs.text if row.theirs else "not available" if row.peer else None
    peer = f"{row.peer}: {theirs}" if row.peer else None
    ours = row.failed or (row.ours.text if row.ours else None)
    ratio = f"{short(row.ratio)}x" if row.ratio is not None else None
    return what, peer, ours, ratio, row.goal, row.verdict


def _first_value(file: Path, field: str) -> str | None:
    if not file.exists():
        return None
    lines = (line.partition(":") for line in file.read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == field), None)


if __name__ == "__main__":
    out.print(markdown(json.loads(RESULTS.read_text())), soft_wrap=True, markup=False)
