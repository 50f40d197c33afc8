"""``morrow refresh``: hand in a refresh, follow it, and say what is new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.api.schemas.orders import RefreshIn
from app.cli.console import describe_problem, err, out
from app.cli.places import place


def refresh(url: str | None) -> None:
    """Refresh all that is served, under a progress bar; Ctrl-C cancels the job.

    What failed is told line by line, and the command ends with 1.
    """
    with place(url, new=False) as at:
        result = at.outcome("refresh", RefreshIn(), title="Refreshing")
    for entry in result["failed"]:
        err.print(f"{entry['ticker']}: {describe_problem(entry['problem'])}", markup=False, soft_wrap=True)
    out.print(_words(result), markup=False, soft_wrap=True)
    if result["failed"]:
        raise SystemExit(1)


def _words(result: Mapping[str, Any]) -> str:
    """Say how many have a new forecast, how many have not, and under which edition."""
    counts = ", ".join(f"{len(result[name])} {name}" for name in ("refreshed", "unchanged", "failed"))
    edition = "nothing that is answered has changed" if result["edition"] is None else f"edition {result['edition']}"
    promoted = f" Champion now: {', '.join(result['promoted'])}." if result["promoted"] else ""
    instead = ", ".join(result.get("fell_back", ()))
    damaged = f" Files are damaged, so an earlier champion answers: {instead}." if instead else ""
    return f"{counts}; {edition}.{promoted}{damaged}"
