"""Bars as a source gave them in, bars fit for use out, with a finding for everything that was amiss."""

from __future__ import annotations

from app.domain.finding import Finding
from app.domain.history import PriceHistory
from app.errors import InvalidBars, NotEnoughHistory
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
)


def audit(history: PriceHistory, *, fields: tuple[str, ...] = ("close",)) -> tuple[PriceHistory, list[Finding]]:
    """Mend what needs no guessing, report what does not touch ``fields``, refuse the rest.

    ``fields`` are the bar fields that the order uses. The answer is strictly ordered by session and
    has a positive price and a number in every used field of every bar.

    Raises:
        InvalidBars: something about the used fields cannot be mended; ``findings`` says what.
        NotEnoughHistory: fewer than two bars are there, or are left.
        InvalidSpec: the bars have no such field.
    """
    for name in fields:
        history.bars.column(name)
    _require_two(history, [])
    findings: list[Finding] = []
    for rule in _RULES:
        history, found = rule(history, fields)
        findings += found
        _require_two(history, findings)
    refused = [finding for finding in findings if finding.severity == "refused"]
    if refused:
        raise InvalidBars(
            f"The bars of {history.ticker} cannot be used: {' '.join(finding.detail for finding in refused)}",
            ticker=history.ticker,
            findings=[finding.to_dict() for finding in sorted(findings, key=lambda f: f.severity != "refused")],
        )
    return history, findings


def _require_two(history: PriceHistory, findings: list[Finding]) -> None:
    if len(history) >= 2:
        return
    raise NotEnoughHistory(
        f"{history.ticker} has {len(history)} usable bars; a return needs two.",
        ticker=history.ticker,
        have=len(history),
        need=2,
        findings=[finding.to_dict() for finding in findings],
    )
