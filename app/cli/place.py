"""Where a command works: on the registry of this machine, or on a service elsewhere; both answer with documents."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from app.cli.console import err

Document = Mapping[str, Any]

ROWS = 100  # shown at most, of any list


class Place(Protocol):
    """Answers as the API does, with at least the fields that commands show; lists are the newest ``ROWS``."""

    def forecast(self, ticker: str, *, model: str, levels: Sequence[float]) -> Document:
        """Return all steps of the latest stored forecast."""

    def models(self) -> Sequence[Document]:
        """Return the tickers that have a version."""

    def versions(self, ticker: str) -> Sequence[Document]:
        """Return the versions of a ticker, newest first."""

    def jobs(self, state: str | None) -> Sequence[Document]:
        """Return the jobs, newest first."""

    def cancel(self, job_id: str) -> Document:
        """Cancel a job, and return it."""

    def keep_bars(self, ticker: str, file: Path) -> Document:
        """Keep the bars of a CSV as source ``upload``."""

    def outcome(self, kind: str, order: Any, *, title: str) -> dict[str, Any]:
        """Hand in ``order``, a checked body, follow its job under a bar and return the result; Ctrl-C cancels it."""


@contextlib.contextmanager
def at_sigterm(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Let SIGTERM do what ``handler`` does."""
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say_known(kind: str, state: str, job_id: str) -> None:
    """Say that the same work is under way already."""
    work = {"tune": "The same search", "refresh": "A refresh"}.get(kind, "The same order")
    err.print(f"{work} is {state} already as job {job_id}: following that one.")
