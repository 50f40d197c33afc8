"""Bars, peers, and whether the service is ready."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from app.api.schemas.market import PeersOut, UploadOut
from app.api.schemas.operations import ReadyOut
from app.client.call import Call, commas, get, reading, segment
from app.client.documents import Bars


def bars(ticker: str, *, start: date | None = None, end: date | None = None) -> Call[Bars]:
    """Return the newest bars kept of ``ticker``, oldest first; no source is asked.

    Raises:
        NotFound: none are kept yet; training fetches them.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return get(f"/v1/tickers/{segment(ticker)}/bars", Bars, start=start, end=end)


def upload_bars(ticker: str, csv: Path | str | bytes) -> Call[UploadOut]:
    """Keep the bars of a CSV, a file or its text, under the source ``upload``.

    Raises:
        Invalid: a row cannot be read (``rows_refused``), or the audit refuses the bars; nothing was kept.
        OSError: the file cannot be read.
        Unavailable, Unreachable: nobody could take it, and repeating did not help.
    """
    content = csv.read_bytes() if isinstance(csv, Path) else csv.encode() if isinstance(csv, str) else csv
    return Call(
        method="POST",
        path=f"/v1/tickers/{segment(ticker)}/bars",
        read=reading(UploadOut),
        headers={"content-type": "text/csv"},
        content=content,
        repeatable=True,  # bars are kept under their hash
    )


def peers(
    ticker: str,
    *,
    candidates: Sequence[str] | None = None,
    top: int | None = None,
    start: date | None = None,
    end: date | None = None,
) -> Call[PeersOut]:
    """Rank candidates by how they moved with ``ticker``; without any, those whose bars are at hand.

    Raises:
        Invalid: the bars are too few or cannot be used (``have``, ``need``).
        NotFound: no bars are kept of one of them.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    asked = {"candidates": commas(candidates), "top": top, "start": start, "end": end}
    return get(f"/v1/tickers/{segment(ticker)}/peers", PeersOut, **asked)


def ready() -> Call[ReadyOut]:
    """Return whether requests can be served, and what was looked at; a service that is not ready is no error.

    Raises:
        Unreachable: nobody answers.
    """
    return Call(method="GET", path="/readyz", read=reading(ReadyOut), repeatable=False, accepted=frozenset({503}))
