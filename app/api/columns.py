"""Forecasts of many tickers as columns: one row a ticker, step and field, in JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

Item = Mapping[str, Any]
Columns = dict[str, list[Any]]

_OF_ITEM = ("state", "reasons", "origin", "as_of_session", "issued_at", "last_close", "currency")
_OF_STEP = (
    *("step", "field", "last_value", "target_session", "target_close_at"),
    *("point", "expected_return", "volatility", "prob_up"),
)
_OF_MODEL = ("version", "alias", "architecture", "preset", "trained_through")
_ORIGINS = ("live", "backtest")
_SKILL = ("skill", "skill_crps", "dm_p", "skill_n", "beats_baseline")
#: What begins a formula where somebody opens the file in a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def columns_of(items: Iterable[Item], levels: Sequence[float]) -> Columns:
    """Turn ``items``, as the JSON form lists them, into columns in their order.

    A ticker without a forecast is one row with the ``problem``'s code and its ``detail``, and nothing else.
    """
    names = column_names(levels)
    rows = [row for item in items for row in _rows(item, levels, width=len(names))]
    return to_columns(names, rows)


def column_names(levels: Sequence[float]) -> list[str]:
    """Return the names of the columns in order, with intervals at ``levels`` % and the coverage of the first."""
    covered = [f"coverage_{levels[0]:g}_{origin}{what}" for origin in _ORIGINS for what in ("", "_n")]
    head = ("ticker", "problem", "detail")
    return [
        *head,
        *_OF_ITEM,
        *_OF_STEP,
        *band_names(levels),
        *_SKILL,
        *covered,
        *_OF_MODEL,
        "approximate",
        "next_update_at",
    ]


def band_names(levels: Sequence[float]) -> list[str]:
    """Return the names of the ends of the intervals at ``levels`` %."""
    return [f"{end}_{level:g}" for level in levels for end in ("lower", "upper")]


def to_columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns:
    """Turn ``rows`` into columns of these ``names``."""
    columns = map(list, zip(*rows, strict=True)) if rows else ([] for _ in names)
    return dict(zip(names, columns, strict=True))


def to_csv(columns: Columns) -> bytes:
    """Write ``columns`` as CSV with a header line: UTF-8, lines end in LF, null is empty, truth is ``true``.

    Reasons stand with blanks between them. Cells are as they are in JSON, a ticker to the byte: it begins with A-Z, 0-9
    or ``^``, hence no formula. Only what a price source named itself, currency and field, gets a ``'`` in front where a
    spreadsheet would take it for one.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(name, values) for name, values in columns.items()), strict=True))
    return text.getvalue().encode()


def _rows(item: Item, levels: Sequence[float], *, width: int) -> Iterator[tuple[Any, ...]]:
    if problem := item.get("problem"):
        yield (item["ticker"], problem["code"], problem["detail"], *(None,) * (width - 3))
        return
    head = (item["ticker"], None, None, *(item[name] for name in _OF_ITEM))
    tail = (*_judged(item, levels[0]), item["calendar"]["approximate"], item["next_update_at"])
    for step in item["steps"]:
        bands = (band[end] for band in step["intervals"] for end in ("lower", "upper"))
        yield (*head, *(step[name] for name in _OF_STEP), *bands, *tail)


def _judged(item: Item, level: float) -> tuple[Any, ...]:
    """Return what is known of how good the model is, and which it is."""
    skill, model = item["skill"], item["model"]
    covered = {entry["origin"]: entry for entry in item["calibration"] if entry["level"] == level}
    kept = (covered.get(origin, {}).get(what) for origin in _ORIGINS for what in ("empirical", "n"))
    judged = (skill["value"], skill["crps"], skill["dm_p"], skill["n"], skill["beats_baseline"])
    return (*judged, *kept, *(model[name] for name in _OF_MODEL))


def _cells(name: str, values: Sequence[Any]) -> Iterable[Any]:
    if name == "reasons":
        return (" ".join(reasons) if reasons else None for reasons in values)
    if name in ("currency", "field"):
        return (f"'{text}" if text and text.startswith(_FORMULA) else text for text in values)
    if name in ("beats_baseline", "approximate"):
        return (None if value is None else str(value).lower() for value in values)
    return (None if isinstance(value, float) and not isfinite(value) else value for value in values)
