"""What commands print: tables and answers to standard output, trouble and progress to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table

from app.errors import AppError

_SHOWN_ERRORS = 10

_NO_KEY = {"missing", "malformed"}  # reasons of a refusal that otherwise speaks of headers

WIDTH = 132  # of what is no terminal: 80, the usual guess, breaks words

out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDTH)
err = Console(stderr=True, highlight=False, emoji=False)


def give_up(message: str, *, code: int = 1) -> NoReturn:
    """Print one line and end with ``code``: 1 for what went wrong, 2 for what was asked wrongly."""
    err.print(f"error: {message}", markup=False, soft_wrap=True)
    raise SystemExit(code)


def describe(error: AppError) -> str:
    """Return the error as one line: what is the matter, its code and its numbers."""
    return describe_problem(error.to_problem())


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Return a problem object, as jobs and HTTP answers carry it, as one line; ``errors`` say at which fields."""
    # The findings are told in the detail already.
    left_out = {"code", "title", "detail", "type", "status", "instance", "request_id", "findings", "errors"}
    facts = [f"{name}={_short(value)}" for name, value in problem.items() if name not in left_out]
    return f"{_detail(problem)} [{', '.join([problem['code'], *facts])}]"


def _detail(problem: Mapping[str, Any]) -> str:
    """Say what is wrong at each field; the detail alone where that says as much."""
    if problem["code"] == "unauthorized" and problem.get("reason") in _NO_KEY:
        return "The service asks for a key: set MORROW_API_KEY."
    at_fields = [error for error in problem.get("errors", ()) if error["pointer"]]
    if not at_fields:
        return str(problem["detail"])
    return "; ".join(f"{error['pointer']}: {error['detail']}" for error in at_fields[:_SHOWN_ERRORS])


def counted(number: int, things: str) -> str:
    """Return the number with its word, which is given for many: ``2 entries`` and ``1 entry``."""
    one = f"{things[:-3]}y" if things.endswith("ies") else things.removesuffix("s")
    return f"{number} {one if number == 1 else things}"


def table(*columns: str, rows: Iterable[Sequence[object]]) -> Table:
    """Return ``rows`` under ``columns``; ``None`` is shown as a dash."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*("–" if cell is None else str(cell) for cell in row))
    return grid


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 120 else f"{text[:117]}..."
