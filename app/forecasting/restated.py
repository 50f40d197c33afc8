"""Where two tellings of one price history part."""

from __future__ import annotations

from datetime import date

import numpy as np

from app.domain.history import BAR_FIELDS, Bars, PriceHistory, to_date

SAME = 1e-6  # relative: sources write more digits than they know


def told_anew_since(before: PriceHistory, now: PriceHistory) -> date | None:
    """Return the first session of which ``now`` says what ``before`` did not, ``None`` when there is none.

    Sessions from before ``now`` begins are not compared. Other splits or dividends up to where ``before`` ends, or
    other columns, are as good as another history.
    """
    theirs = _in_order(now.bars)
    ours = _in_order(before.bars.rows(before.bars.sessions >= theirs.sessions[0]))
    known = [[one for one in history.actions if one.session <= before.last_session] for history in (before, now)]
    if known[0] != known[1] or ours.extra.keys() != theirs.extra.keys():
        return to_date(theirs.sessions[0])
    length = min(len(ours), len(theirs))
    same = ours.sessions[:length] == theirs.sessions[:length]
    for name in (*BAR_FIELDS, *ours.extra):
        was, said = ours.column(name)[:length], theirs.column(name)[:length]
        same &= np.isclose(was, said, rtol=SAME, atol=0.0, equal_nan=True)
    at = length if same.all() else int(np.argmin(same))
    if at == len(theirs):
        return None
    return min(to_date(bars.sessions[at]) for bars in (ours, theirs) if at < len(bars))


def _in_order(bars: Bars) -> Bars:
    """Sources need not keep to the order."""
    return bars.rows(np.argsort(bars.sessions, kind="stable"))
