"""Rules about single bars: the order of open, high, low and close, and bars that were never traded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.domain.finding import Finding
from app.domain.history import Floats, PriceHistory
from app.prices.audit_finding import OHLC, Checked, Mask, finding, log_prices, present, severity_of, traded, without

# Quotes from several venues miss each other by a fraction; beyond this a field is of another bar.
_GROSS = 0.01
_MOST_GROSS_BARS = 0.05
_NEIGHBOURS = 20
_FEW = 0.1  # share of bars without range in a series that trades well


def check_range_order(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Report bars whose high or low does not span the others; refuse when that is the rule."""
    names = [name for name in present(history) if name in fields] if len(set(OHLC) & set(fields)) > 1 else []
    used = _overlap(history, names)
    if (used > _GROSS).mean() > _MOST_GROSS_BARS:
        rows = used > _GROSS
        detail = f"In {int(rows.sum())} of {len(rows)} bars high and low do not span {', '.join(names)} by over 1 %."
        return history, [finding("ohlc_order", "refused", detail, history, rows=rows, fields=names)]
    rows = _overlap(history, present(history)) > 1e-6
    if not rows.any():
        return history, []
    detail = f"Bars whose high and low do not span open and close: {int(rows.sum())}."
    return history, [finding("ohlc_order", "reported", detail, history, rows=rows, fields=("high", "low"))]


def drop_stale(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Drop bars that copy the one before although shares changed hands; report days without trade.

    A bar that stands exactly on the close before is certainly a filler when its neighbours have a
    range and it repeats the volume too, or has a volume as usual.
    """
    if len(present(history)) < len(OHLC):
        return history, []
    still = _stands_still(history)
    filler = _certain_fillers(history, still)
    findings: list[Finding] = []
    if filler.any():
        touched = (*traded(history, fields), "volume")
        severity = severity_of(touched, fields, otherwise="repaired")
        detail = f"Fillers that copy the close before, though with volume: {int(filler.sum())}{_DONE[severity]}"
        findings.append(finding("stale_bar", severity, detail, history, rows=filler, fields=touched))
    idle = still & ~filler
    if idle.any():
        detail = f"Bars that stand still at the close before: {int(idle.sum())}; perhaps nothing was traded."
        findings.append(finding("stale_bar", "reported", detail, history, rows=idle, fields=OHLC))
    drop = filler if findings and findings[0].severity == "repaired" else np.zeros_like(filler)
    return without(history, drop), findings


_DONE = {"repaired": "; dropped.", "reported": "."}


def _overlap(history: PriceHistory, names: Sequence[str]) -> Floats:
    """Return by which share of the price the fields break their order, 0 where they keep it."""
    columns = {name: np.exp(log_prices(history.bars.column(name))) for name in names}  # NaN where not positive
    excess = np.zeros(len(history))
    for upper, lower in (("high", "low"), ("high", "open"), ("high", "close"), ("open", "low"), ("close", "low")):
        if upper in columns and lower in columns:
            gap = (columns[lower] - columns[upper]) / columns[lower]
            excess = np.fmax(excess, np.where(np.isfinite(gap), gap, 0.0))
    return excess


def _stands_still(history: PriceHistory) -> Mask:
    """Mark bars whose four prices all are the close before."""
    before = np.concatenate([[np.nan], history.bars.close[:-1]])
    return np.asarray(np.all([history.bars.column(name) == before for name in OHLC], axis=0))


def _certain_fillers(history: PriceHistory, still: Mask) -> Mask:
    """Mark those of the still bars that no trading explains."""
    volume = history.bars.volume
    no_range = history.bars.high == history.bars.low
    certain = np.zeros(len(history), dtype=bool)
    for row in map(int, np.flatnonzero(still & (volume > 0))):
        near = np.arange(max(0, row - _NEIGHBOURS), min(len(history), row + _NEIGHBOURS + 1))
        near = near[near != row]
        if len(near) < _NEIGHBOURS or no_range[near].mean() > _FEW:
            continue
        usual = volume[row] >= 0.5 * np.nanmedian(volume[near]) and not no_range[near].any()
        certain[row] = usual or volume[row] == volume[row - 1]
    return certain
