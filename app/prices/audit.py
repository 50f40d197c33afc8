"""Bars as a source gave them in, bars fit for use out, with a finding for everything that was amiss."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.domain.finding import Finding
from app.domain.history import PriceHistory
from app.errors import InvalidBars, NotEnoughHistory
from app.prices.audit_adjusted import set_aside_adjusted
from app.prices.audit_finding import finding
from app.prices.audit_jumps import check_jumps
from app.prices.audit_rows import drop_duplicates, drop_missing, drop_non_positive, put_in_order
from app.prices.audit_scale import check_field_scales, drop_spikes, undo_splits
from app.prices.audit_sessions import check_gaps, drop_non_sessions
from app.prices.audit_shape import check_range_order, drop_stale

# Order matters: a rule may rely on what those before it have put right.
_RULES = (
    put_in_order,
    drop_duplicates,
    drop_non_sessions,
    check_gaps,
    drop_missing,
    drop_non_positive,
    drop_spikes,
    undo_splits,
    check_field_scales,
    check_jumps,
    check_range_order,
    drop_stale,
    set_aside_adjusted,
)


def audit(history: PriceHistory, *, fields: tuple[str, ...] = ("close",)) -> tuple[PriceHistory, list[Finding]]:
    """Mend what needs no guessing, report what does not touch ``fields``, refuse the rest.

    ``fields`` are the columns of the bars that the order uses. The answer is strictly ordered by session and
    has a number in every used column of every bar, and a positive one where it is a price. A volume of 0 is a number.
    ``adj_close`` that is not used is missing where it is at fault.

    Raises:
        InvalidBars: something about the used fields cannot be mended; ``findings`` says what. ``field`` (``have``,
            ``need``) is one that the source does not have: use others.
        NotEnoughHistory: fewer than two bars are there, or are left.
        InvalidSpec: the bars have no such field.
    """
    for name in fields:
        history.bars.column(name)
    _require_two(history, [])
    _require_values(history, fields)
    findings: list[Finding] = []
    for rule in _RULES:
        history, found = rule(history, fields)
        findings += found
        if len(history) < 2:
            break
    if any(found.severity == "refused" for found in findings):
        raise _refusal(history, findings)
    _require_two(history, findings)
    return history, findings


def _require_two(history: PriceHistory, findings: list[Finding]) -> None:
    if len(history) >= 2:
        return
    raise NotEnoughHistory(
        f"{history.ticker} has {len(history)} usable bars; a return needs two.",
        ticker=history.ticker,
        have=len(history),
        need=2,
        findings=[found.to_dict() for found in findings],
    )


def _require_values(history: PriceHistory, fields: tuple[str, ...]) -> None:
    """Refuse a used field that is missing or 0 throughout: the source does not have it, whatever it writes there."""
    absent = [name for name in fields if not np.nan_to_num(history.bars.column(name)).any()]
    if not absent:
        return
    rows = np.ones(len(history), dtype=bool)
    detail = f"There are no values of {', '.join(absent)}: all {len(history)} are missing or 0."
    found = finding("missing_values", "refused", detail, history, rows=rows, fields=absent)
    raise _refusal(history, [found], field=absent[0], have=0, need=2)


def _refusal(history: PriceHistory, findings: list[Finding], **facts: Any) -> InvalidBars:
    """Say why the bars cannot be used; the reasons come first among the findings."""
    refused = [found.detail for found in findings if found.severity == "refused"]
    ordered = sorted(findings, key=lambda found: found.severity != "refused")
    return InvalidBars(
        f"The bars of {history.ticker} cannot be used: {' '.join(refused)}",
        ticker=history.ticker,
        **facts,
        findings=[found.to_dict() for found in ordered],
    )
