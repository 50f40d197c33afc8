"""One cell of a price file: numbers and dates as people's exports write them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from statistics import median

import numpy as np

from app.domain.history import Floats
from app.errors import InvalidBars

MISSING = frozenset({"", "-", "--", "–", "—", ".", "n/a", "#n/a", "na", "nan", "null", "none", "nil"})

_NUMBER = re.compile(r"[+-]?(\d+(,\d{2,3})*,\d{3}|\d+|(?=\.\d))(\.\d*)?([eE][+-]?\d+)?")  # 1,234.5, 12,34,567, .5
_PLAIN = re.compile(r"\d{1,15}(\.\d{0,15})?(\n\d{1,15}(\.\d{0,15})?)*", re.ASCII)  # of a whole column
_MULTIPLES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_ONLY_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+,\d+|\d+,(\d{1,2}|\d{4,}))")
_ONLY_POINT = re.compile(r"[+-]?(\d{1,3}(,\d{3})+\.\d+|\d*\.(\d{1,2}|\d{4,}))")
_SWAP = str.maketrans(".,", ",.")
_FORMATS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y"),
    *("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %y"),
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(\n\d{4}-\d{2}-\d{2})*", re.ASCII)  # of a whole column
_CLOCK = re.compile(r"[T ]\d{1,2}:\d{2}.*$")


FIRST_YEAR = 1800  # no exchange has daily prices from before; such a year is a slip


def read_number(cell: str, *, decimal_comma: bool = False) -> float:
    """Return the number of a cell, NaN where it says that there is none.

    Understands thousands separators, ``$``, ``%``, ``304.86M`` and, with ``decimal_comma``, ``1.234,56``.

    Raises:
        ValueError: the cell holds something else; refuse its row.
    """
    text = cell.strip().strip("$€£¥%").strip()
    if text.lower() in MISSING:
        return math.nan
    if len(text) > 1 and text[-1].upper() in _MULTIPLES:
        return read_number(text[:-1], decimal_comma=decimal_comma) * _MULTIPLES[text[-1].upper()]
    text = text.replace(" ", "").replace("'", "")
    text = text.translate(_SWAP) if decimal_comma else text
    number = float(text.replace(",", "")) if _NUMBER.fullmatch(text) else math.inf
    if math.isinf(number):
        raise ValueError(f"{cell.strip()[:30]!r} is not a number")
    return number


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """The ``values`` of a column, ``(rows,)``, NaN where there is none; ``faults`` say by row why it is no number."""

    values: Floats
    faults: Mapping[int, str]


def read_column(cells: Sequence[str], *, decimal_comma: bool) -> NumberColumn:
    """Read every cell as ``read_number`` does; a column of plain decimals, or of nothing, is read at once."""
    if not any(cells):
        return NumberColumn(np.full(len(cells), np.nan), {})
    if not decimal_comma and _PLAIN.fullmatch("\n".join(cells)):
        return NumberColumn(np.fromiter(map(float, cells), np.float64, len(cells)), {})
    values = np.full(len(cells), np.nan)
    faults: dict[int, str] = {}
    for row, cell in enumerate(cells):
        try:
            values[row] = read_number(cell, decimal_comma=decimal_comma)
        except ValueError as error:
            faults[row] = str(error)
    return NumberColumn(values, faults)


def uses_decimal_comma(cells: Iterable[str]) -> bool:
    """Whether some cells can only be read with a decimal comma, such as ``1.234,56``, and none only with a point."""
    commas = False
    for cell in cells:
        text = cell.strip().strip("$€£¥%").strip()
        if _ONLY_POINT.fullmatch(text):
            return False
        commas = commas or bool(_ONLY_COMMA.fullmatch(text))
    return commas


def read_dates(cells: Sequence[str]) -> list[date | None]:
    """Return the day of every cell, ``None`` where a cell is not a date in the form of the others.

    The form is the one that fits most cells. Where day and month could be swapped throughout, the
    reading that gives daily bars in order is taken.

    Raises:
        InvalidBars: no form fits, or two fit equally well.
    """
    texts = [_CLOCK.sub("", cell.strip()) for cell in cells]
    if _ISO.fullmatch("\n".join(texts)):  # no other form fits any of these
        days = [_iso(text) for text in texts]
        if any(days):
            return days
    sample = [*texts[:50], *texts[-50:]]  # most forms are ruled out by a few cells
    forms = [form for form in _FORMATS if any(_parse(text, form) for text in sample)]
    readings = [_epoch_days(texts), *([_parse(text, form) for text in texts] for form in forms)]
    fits = [sum(day is not None for day in reading) for reading in readings]
    best = max(fits)
    if not best:
        raise InvalidBars(f"No date was understood; the first is {cells[0][:30]!r}.", have=0, need=len(cells))
    candidates = _distinct([reading for reading, fit in zip(readings, fits, strict=True) if fit == best])
    if len(candidates) > 1:
        candidates = [reading for reading in candidates if _is_daily(reading)]
    if len(candidates) != 1:
        raise InvalidBars(
            f"Day and month cannot be told apart in dates such as {cells[0][:30]!r}; write them as YYYY-MM-DD.",
            have=len(candidates),
            need=1,
        )
    return candidates[0]


def _iso(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year >= FIRST_YEAR else None


def _epoch_days(texts: Sequence[str]) -> list[date | None]:
    """Read seconds or milliseconds since 1970."""
    days: list[date | None] = []
    for text in texts:
        number = re.fullmatch(r"(\d{9,10})(\.0*|\d{3})?", text)
        days.append(datetime.fromtimestamp(int(number[1]), UTC).date() if number else None)
    return days


def _parse(text: str, form: str) -> date | None:
    try:
        day = datetime.strptime(text, form).date()  # noqa: DTZ007 - a day on the exchange, without a clock
    except ValueError:
        return None
    return day if day.year >= FIRST_YEAR else None


def _distinct(readings: list[list[date | None]]) -> list[list[date | None]]:
    """Leave out readings that say the same."""
    return [reading for n, reading in enumerate(readings) if reading not in readings[:n]]


def _is_daily(reading: list[date | None]) -> bool:
    """Whether the days run in one direction and mostly follow each other within a long weekend."""
    days = [day for day in reading if day is not None]
    steps = [(later - earlier).days for earlier, later in pairwise(days)]
    if not steps or not (all(step >= 0 for step in steps) or all(step <= 0 for step in steps)):
        return False
    return abs(median(steps)) <= 4
