"""The caller's own bars become columns."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from app.api.schemas.forecasts import BarIn
from app.domain.history import Bars, Floats
from app.errors import InvalidBars


def bars_of(rows: Sequence[BarIn]) -> Bars:
    """Return ``rows`` as columns, ``(bars,)`` each; ``adj_close`` is the close.

    A further column that some bars lack is NaN there.

    Raises:
        InvalidBars: the sessions do not increase strictly; the pointer names the first that does not.
    """
    for index in range(1, len(rows)):
        if rows[index].session <= rows[index - 1].session:
            detail = f"Sessions must increase: {rows[index].session} follows {rows[index - 1].session}."
            raise InvalidBars(detail, pointer=f"/bars/{index}/session")
    return Bars(
        sessions=np.array([row.session for row in rows], dtype="datetime64[D]"),
        open=_column(rows, "open"),
        high=_column(rows, "high"),
        low=_column(rows, "low"),
        close=_column(rows, "close"),
        adj_close=_column(rows, "close"),
        volume=_column(rows, "volume"),
        extra=MappingProxyType(_extra(rows)),
    )


def _extra(rows: Sequence[BarIn]) -> dict[str, Floats]:
    names = dict.fromkeys(name for row in rows for name in row.extra)
    return {name: np.array([row.extra.get(name, np.nan) for row in rows], dtype=np.float64) for name in names}


def _column(rows: Sequence[BarIn], name: str) -> Floats:
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)
