"""Measure, print a table, and keep the numbers in ``bench-results.json``: ``python -m tests.bench [SECTION ...]``."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.cli.console import err, out
from tests.bench.processes import forget_settings
from tests.bench.report import RESULTS, document, table_of
from tests.bench.rows import Row
from tests.bench.sections import rows_of, section_of

_NAMES = (
    "machine",
    "start",
    "inference",
    "training",
    "panel",
    "end_to_end",
    "polling",
    "refresh",
    "page",
    "scale",
    "engines",
)
SECTIONS = {name: section_of(name) for name in _NAMES}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen sections, or all; whatever they find, the end is a good one."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the service beside its peers.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    chosen = parser.parse_args(arguments).sections or list(SECTIONS)
    if unknown := [name for name in chosen if name not in SECTIONS]:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")

    forget_settings()
    rows: dict[str, list[Row]] = {}
    seconds: dict[str, float] = {}
    for name in chosen:
        err.print(f"Measuring {name} ...")
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = rows_of(name, SECTIONS[name], Path(folder))
        seconds[name] = time.perf_counter() - started
        # After each section, so that a bench that is cut short leaves what it found.
        kept = document(rows, seconds, now=datetime.now(UTC))
        RESULTS.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
    out.print(table_of(row for of_section in rows.values() for row in of_section))
    out.print(f"{sum(seconds.values()):.0f} s in all; the numbers are in {RESULTS.name}.")


if __name__ == "__main__":
    main()
