"""Rules about rows: their order, doubles, missing values and prices that are not positive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from app.domain.finding import Finding
from app.domain.history import BAR_FIELDS, PRICE_FIELDS, Floats, PriceHistory
from app.prices.audit_finding import Checked, Mask, finding, without

# More holes than this between the first and the last good bar make a series that is not daily any more.
_MOST_HOLES = 0.1


def put_in_order(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Sort the bars, oldest first."""
    days = history.bars.sessions
    steps = np.diff(days).astype(np.int64)
    backwards = np.concatenate([[False], steps < 0])
    if not backwards.any():
        return history, []
    how = "newest first" if (steps <= 0).all() else "out of order"
    found = finding("unsorted", "repaired", f"The bars came {how} and were sorted.", history, rows=backwards)
    return replace(history, bars=history.bars.rows(np.argsort(days, kind="stable"))), [found]


def drop_duplicates(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Keep one bar a session where the doubles agree in the used fields; else refuse."""
    days = history.bars.sessions
    again = np.concatenate([[False], days[1:] == days[:-1]])
    if not again.any():
        return history, []
    empty = _in_doubles(again) & _any(history, fields, np.isnan)
    if empty.any() and not empty[again].all():
        filled, findings = drop_duplicates(without(history, empty), fields)
        detail = f"Bars without values beside another of their session: {int(empty.sum())}; dropped."
        return filled, [finding("duplicate_dates", "repaired", detail, history, rows=empty), *findings]
    differ = again & _any(history, fields, _differs_from_previous)
    if differ.any():
        row = int(np.flatnonzero(differ)[0])
        values = history.bars.column(fields[0])
        detail = (
            f"Bars of one session with different values: {int(differ.sum())}, first on {days[row]} "
            f"({fields[0]} {values[row - 1]:g} and {values[row]:g}); perhaps several instruments are in one file."
        )
        found = finding("duplicate_dates", "refused", detail, history, rows=differ, fields=fields)
        return without(history, again), [found]
    detail = f"Bars that repeat the bar of their session: {int(again.sum())}; dropped."
    return without(history, again), [finding("duplicate_dates", "repaired", detail, history, rows=again)]


def drop_missing(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Drop bars without a value in a used field; report holes in the others."""
    holes = {name: np.isnan(history.bars.column(name)) for name in dict.fromkeys((*BAR_FIELDS, *fields))}
    used = _any(history, fields, np.isnan)
    findings = []
    if used.any():
        touched = [name for name in fields if holes[name].any()]
        what = f"No {' or '.join(touched)} in {int(used.sum())} of {len(used)} bars"
        findings.append(_holes("missing_values", what, history, used, touched))
    others = [name for name in holes if name not in fields and 0 < holes[name].sum() < len(used)]
    unused = _any(history, others, np.isnan) & ~used
    if unused.any():
        detail = f"No {' or '.join(others)} in {int(unused.sum())} bars; the order does not use it."
        findings.append(finding("missing_values", "reported", detail, history, rows=unused, fields=others))
    return without(history, used), findings


def drop_non_positive(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Drop bars whose used price is 0, which says that there was none; refuse true negative prices.

    Where every price is 0 the bar is empty, whichever of its fields is used.
    """
    prices = [name for name in PRICE_FIELDS if (history.bars.column(name) <= 0).any()]
    used = [name for name in prices if name in fields]
    findings = []
    negative = _any(history, used, lambda values: values < 0)
    if negative.any():
        findings.append(_negative(history, used, negative))
    zero = (_any(history, used, lambda values: values == 0) & ~negative) | _empty(history)
    if zero.any():
        what = f"A price of 0, which stands for no price, in {int(zero.sum())} of {len(zero)} bars"
        findings.append(_holes("non_positive_prices", what, history, zero, used or prices))
    others = [name for name in prices if name not in fields]
    unused = _any(history, others, lambda values: values <= 0) & ~zero & ~negative
    if unused.any():
        detail = f"No positive {' or '.join(others)} in {int(unused.sum())} bars; the order does not use it."
        findings.append(finding("non_positive_prices", "reported", detail, history, rows=unused, fields=others))
    return without(history, zero), findings


def _in_doubles(again: Mask) -> Mask:
    """Mark every bar that shares its session with another."""
    return np.asarray(again | np.concatenate([again[1:], [False]]))


def _differs_from_previous(values: Floats) -> Mask:
    """Mark values that are not those of the bar before, beyond what rounding explains."""
    same = np.isclose(values[1:], values[:-1], rtol=1e-6, equal_nan=True)
    return np.asarray(np.concatenate([[False], ~same]))


def _any(history: PriceHistory, names: Sequence[str], test: Callable[[Floats], Mask]) -> Mask:
    """Mark the bars in which one of the fields meets the test."""
    marks = np.zeros(len(history), dtype=bool)
    for name in names:
        marks |= test(history.bars.column(name))
    return marks


def _empty(history: PriceHistory) -> Mask:
    """Mark bars in which all prices are 0, as far as they are there at all."""
    prices = np.stack([history.bars.column(name) for name in PRICE_FIELDS])
    return np.asarray((prices == 0).any(axis=0) & ~np.nan_to_num(prices).any(axis=0))


def _holes(code: str, what: str, history: PriceHistory, rows: Mask, touched: Sequence[str]) -> Finding:
    """Write that bars were dropped, or that they are too many to go on without them."""
    good = np.flatnonzero(~rows)
    inside = rows[good[0] : good[-1]] if len(good) else rows
    if len(inside) and inside.mean() > _MOST_HOLES:
        detail = f"{what}: {inside.mean():.0%} of the time that they span, {_MOST_HOLES:.0%} is the most."
        return finding(code, "refused", detail, history, rows=rows, fields=touched)
    return finding(code, "repaired", f"{what}; dropped.", history, rows=rows, fields=touched)


def _negative(history: PriceHistory, used: Sequence[str], rows: Mask) -> Finding:
    """Refuse negative prices and say from where on the bars can be used."""
    days = history.bars.sessions
    first, last = np.flatnonzero(rows)[[0, -1]]
    name = next(name for name in used if history.bars.column(name)[first] < 0)
    cure = f"; start at {days[last + 1]}" if last + 1 < len(days) else ""
    detail = (
        f"{name} is {history.bars.column(name)[first]:g} on {days[first]}"
        f"{f', the first of {int(rows.sum())} such bars' if rows.sum() > 1 else ''}: "
        f"a negative price has no log return{cure}."
    )
    return finding("non_positive_prices", "refused", detail, history, rows=rows, fields=used)
