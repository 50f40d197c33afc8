"""Rules about scale: splits that the prices do not know of, fields and bars that belong to another scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from app.domain.finding import Finding
from app.domain.history import Floats, PriceHistory
from app.prices.audit_finding import (
    Checked,
    Mask,
    finding,
    log_prices,
    log_steps,
    present,
    severity_of,
    traded,
    without,
)

# New shares for old, as companies choose them.
_RATIOS = np.array(
    [n / d for n, d in ((5, 4), (4, 3), (3, 2), (5, 2))]
    + [
        float(n)
        for n in (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 35, 40, 50, 60, 75, 80, 100, 150, 200, 500, 1000)
    ]
)
_LOG_RATIOS = np.sort(np.concatenate([np.log(_RATIOS), -np.log(_RATIOS)]))

_EXACT = 0.005  # how closely the step of Adj Close / Close meets a ratio
_SMALL = np.log(1.45)  # below, spin-offs come as large, and the ratio must be met ten times as closely
_RETURNED = np.log(1.4)
_SPIKE = np.log(5)  # no price comes five times higher, or lower, for a bar and returns
_LONGEST_SPIKE = 3
_OTHER_SCALE = np.log(1.25)
_RUN = 5


def undo_splits(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Bring earlier bars to the scale after a split, where Adj Close tells its ratio without doubt.

    The sign: Adj Close / Close steps up by the ratio, and Close itself falls by it. Of the fields,
    those that fall too are divided by it before; when all do, volumes are multiplied.
    """
    adjusted, close = history.bars.adj_close, history.bars.close
    with np.errstate(divide="ignore", invalid="ignore"):
        step = log_steps(adjusted / close)
    ratio = nearest_ratio(step)
    exact = np.where(np.abs(ratio) < _SMALL, _EXACT / 10, _EXACT)
    split = (np.abs(step - ratio) < exact) & _falls(close, ratio)
    if not split.any():
        return history, []
    falls = {name: split & _falls(history.bars.column(name), ratio) for name in present(history)}
    columns = {
        name: history.bars.column(name) / _later_splits(ratio, rows) for name, rows in falls.items() if rows.any()
    }
    whole = np.all(list(falls.values()), axis=0)
    if whole.any():
        columns["volume"] = history.bars.volume * _later_splits(ratio, whole)
    bars = replace(history.bars, **columns)  # type: ignore[arg-type]  # all of them are columns
    said = [f"{spoken_ratio(ratio[row])} on {history.bars.sessions[row]}" for row in np.flatnonzero(split)[:5]]
    detail = f"By the ratio of Adj Close {', '.join(columns)} were put on the scale after a split {', '.join(said)}."
    found = finding("unadjusted_split", "repaired", detail, history, rows=split, fields=columns)
    return replace(history, bars=bars, price_basis="split_adjusted"), [found]


def check_field_scales(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Refuse a field that runs on another scale than the other fields of the same bars."""
    broken = off_scale(history)
    return history, [_field_finding(history, name, rows, fields) for name, rows in broken.items()]


def drop_spikes(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Drop up to three bars that leave the scale of those before and after; no price does that and returns."""
    findings = []
    drop = np.zeros(len(history), dtype=bool)
    for name in traded(history, fields):
        rows = _spikes(history.bars.column(name))
        if not rows.any():
            continue
        severity = severity_of((name,), fields, otherwise="repaired")
        row = int(np.flatnonzero(rows)[0])
        values = history.bars.column(name)
        detail = (
            f"{name} is {values[row]:g} on {history.bars.sessions[row]} after {values[row - 1]:g}, and returns: "
            f"{int(rows.sum())} bars of another scale{' were dropped' if severity == 'repaired' else ''}."
        )
        findings.append(finding("price_spike", severity, detail, history, rows=rows, fields=(name,)))
        drop |= rows & (name in fields)
    return without(history, drop), findings


def off_scale(history: PriceHistory) -> dict[str, Mask]:
    """Return the price fields that run 25 % off the median of the others, with the bars in which they do."""
    logs = {name: log_prices(history.bars.column(name)) for name in present(history)}
    found = {}
    for name, own in logs.items() if len(logs) >= 3 else ():
        others = np.stack([values for other, values in logs.items() if other != name])
        middle = np.median(np.where(np.isnan(others), own, others), axis=0)
        rows = _long_runs(np.abs(own - middle) > _OTHER_SCALE)
        if rows.any():
            found[name] = rows
    return found


def _long_runs(marks: Mask) -> Mask:
    """Leave only runs of five or more marks: a single wild bar is no other scale."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    kept = np.zeros_like(marks)
    for start, stop in edges.reshape(-1, 2):
        kept[start:stop] = stop - start >= _RUN
    return kept


def nearest_ratio(steps: Floats) -> Floats:
    """Return the log of the split ratio nearest to each log step."""
    distance = np.abs(steps[:, None] - _LOG_RATIOS)
    nearest: Floats = _LOG_RATIOS[np.argmin(np.where(np.isnan(distance), np.inf, distance), axis=1)]
    return nearest


def _falls(values: Floats, ratio: Floats) -> Mask:
    """Mark bars in which the field falls by about the ratio (or rises, where the ratio is below one)."""
    return np.asarray(np.abs(log_steps(values) + ratio) < 0.5 * np.abs(ratio))


def _later_splits(ratio: Floats, rows: Mask) -> Floats:
    """Return for each bar the product of the ratios of the marked bars after it."""
    steps = np.where(rows, ratio, 0.0)
    return np.asarray(np.exp(steps[::-1].cumsum()[::-1] - steps))


def spoken_ratio(ratio: float) -> str:
    """Say a log ratio as companies do: ``2:1``, ``1:20``."""
    fraction = Fraction(float(np.exp(ratio))).limit_denominator(1000)
    return f"{fraction.numerator}:{fraction.denominator}"


def _field_finding(history: PriceHistory, name: str, rows: Mask, used: Sequence[str]) -> Finding:
    """Write where a field leaves the scale of the others, with the numbers at the edge."""
    values, days = history.bars.column(name), history.bars.sessions
    edges = np.flatnonzero(np.diff(rows.astype(np.int8))) + 1
    detail = f"{name} is on another scale than the other fields in {int(rows.sum())} bars"
    if len(edges):
        row = int(edges[0])
        detail += f"; it jumps from {values[row - 1]:g} to {values[row]:g} on {days[row]} and they do not"
    return finding("unadjusted_split", severity_of((name,), used), f"{detail}.", history, rows=rows, fields=(name,))


def _spikes(values: Floats) -> Mask:
    """Mark runs of up to three bars between two jumps of opposite direction that end where they began."""
    logs = log_prices(values)
    marks = np.zeros(len(values), dtype=bool)
    for row in map(int, np.flatnonzero(np.abs(log_steps(values)) >= _SPIKE)):
        for stop in range(row + 1, min(row + _LONGEST_SPIKE, len(values) - 1) + 1):
            back = np.abs(logs[row:stop] - logs[stop]) >= _SPIKE
            if back.all() and not marks[row - 1] and np.abs(logs[stop] - logs[row - 1]) < _RETURNED:
                marks[row:stop] = True
                break
    return marks
