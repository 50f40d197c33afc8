"""The rule about adjusted closes that an order does not ask for: dividends are known from them where they are sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.domain.history import PriceHistory
from app.prices.audit_finding import Checked, finding
from app.prices.audit_jumps import check_jumps
from app.prices.audit_scale import drop_spikes

_ADJUSTED = ("adj_close",)


def set_aside_adjusted(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Take away adjusted closes that leave the scale of the close, unless the order uses them: no dividend does so."""
    if "adj_close" in fields or not (history.bars.adj_close > 0).any():
        return history, []
    sound, _ = drop_spikes(history, _ADJUSTED)
    _, jumps = check_jumps(sound, _ADJUSTED)
    alone = [found for found in jumps if found.severity == "refused" and "close" not in found.fields]
    jumped = [day for found in alone for day in found.examples]
    days = history.bars.sessions
    rows = ~np.isin(days, sound.bars.sessions) | np.isin(days, np.array(jumped, dtype="datetime64[D]"))
    if not rows.any():
        return history, []
    bars = replace(history.bars, adj_close=np.where(rows, np.nan, history.bars.adj_close))
    detail = f"adj_close leaves the scale of close in {int(rows.sum())} bars; around them no dividend is known."
    found = finding("adjusted_close_off_scale", "reported", detail, history, rows=rows, fields=_ADJUSTED)
    return replace(history, bars=bars), [found]
