"""What the audit's rules share: how a finding is written and how rows are dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.domain.finding import Finding
from app.domain.history import Floats, PriceHistory

OHLC = ("open", "high", "low", "close")

Mask = NDArray[np.bool_]
Checked = tuple[PriceHistory, list[Finding]]


def finding(
    code: str, severity: str, detail: str, history: PriceHistory, *, rows: Mask, fields: Iterable[str] = ()
) -> Finding:
    """Write a finding about the marked ``rows`` of the history; the first five are its examples."""
    days = [str(day) for day in history.bars.sessions[rows][:5].astype("datetime64[D]")]
    return Finding(
        code=code,
        severity=severity,
        detail=detail,
        count=int(rows.sum()),
        fields=tuple(fields),
        examples=tuple(days),
    )


def severity_of(touched: Iterable[str], used: Sequence[str], *, otherwise: str = "refused") -> str:
    """Return ``reported`` when none of the touched fields is used."""
    return otherwise if set(touched) & set(used) else "reported"


def without(history: PriceHistory, rows: Mask) -> PriceHistory:
    """Return the history without the marked rows."""
    return replace(history, bars=history.bars.rows(~rows))


def present(history: PriceHistory, names: Sequence[str] = OHLC) -> list[str]:
    """Return those of the fields that have any value."""
    return [name for name in names if not np.isnan(history.bars.column(name)).all()]


def traded(history: PriceHistory, used: Sequence[str]) -> list[str]:
    """Return the prices with any value whose moves are looked at; ``adj_close`` is among them only where it is used."""
    return present(history, ("adj_close", *OHLC) if "adj_close" in used else OHLC)


def log_steps(values: Floats) -> Floats:
    """Return ``log(x[t] / x[t-1])`` as ``(bars,)``; NaN in the first bar and around prices that have no logarithm."""
    steps = np.full(len(values), np.nan)
    steps[1:] = np.diff(log_prices(values))
    return steps


def log_prices(values: Floats) -> Floats:
    """Return the logarithms as ``(bars,)``; NaN for prices that have none."""
    logs: Floats = np.log(np.where(values > 0, values, np.nan))
    return logs
