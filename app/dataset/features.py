"""Bars become columns of numbers: a table of named features, each of which looks back and never ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from app.dataset.volatility import SEED_RETURNS, ewma_volatility, log_returns
from app.domain.history import BAR_FIELDS, Bars
from app.domain.spec import NetworkSpec
from app.errors import InvalidSpec

Floats = NDArray[np.float64]

WEEK, MONTH, QUARTER, YEAR = 5, 22, 66, 250  # sessions
LOWEST_VARIANCE = 1e-8  # a day on which nothing moved still has a logarithm
OUTLIER = 6.0


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One entry of the table: ``compute`` maps bars to ``(bars, columns)``, NaN in the first ``look_back`` rows.

    Row ``t`` needs the bars ``t - look_back`` to ``t`` and knows none after ``t``; ``fields`` are the bar fields
    without which it is nothing.
    """

    columns: tuple[str, ...]
    look_back: int
    fields: tuple[str, ...]
    compute: Callable[[Bars], Floats]


def build_features(bars: Bars, names: Sequence[str]) -> Floats:
    """Return the features ``names`` side by side, ``(bars, columns)``; row ``t`` knows the bars up to ``t`` alone.

    Rows are NaN while a feature warms up (``look_back`` bars).

    Raises:
        InvalidSpec: no feature has this name; use one of those the error names.
    """
    return np.concatenate([feature_of(name).compute(bars) for name in names], axis=1)


def feature_of(name: str) -> Feature:
    """Return the table's entry ``name``.

    Raises:
        InvalidSpec: there is none; use one of those the error names.
    """
    if name not in FEATURES:
        detail = f"Unknown feature {name!r}. Known: {', '.join(FEATURES)}."
        raise InvalidSpec(detail, pointer="/spec/features", known=list(FEATURES))
    return FEATURES[name]


def column_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that ``build_features`` makes, in their order."""
    return tuple(column for name in names for column in feature_of(name).columns)


def look_back(names: Sequence[str]) -> int:
    """Return how many bars before its own a row needs, the target's volatility included."""
    return max(SEED_RETURNS, *(feature_of(name).look_back for name in names))


def fields_used(spec: NetworkSpec) -> tuple[str, ...]:
    """Return the columns that ``spec`` cannot do without: bar fields in the order of the bars, then any other.

    ``range`` looks at the volume too, but counts a missing one as "as usual": it is not among them.
    """
    used = {spec.target.field}.union(*(feature_of(name).fields for name in spec.features))
    return tuple(sorted(used, key=lambda name: (*BAR_FIELDS, name).index(name)))


def _raw(field: str) -> Feature:
    """The field as it stands in the bars."""
    return Feature(columns=(field,), look_back=0, fields=(field,), compute=lambda bars: bars.column(field)[:, None])


def _returns(bars: Bars) -> Floats:
    """Log return of the close in units of the volatility known a bar before."""
    returns = log_returns(bars.close)
    known = np.concatenate([[np.nan], ewma_volatility(returns)[:-1]])
    return np.asarray(np.clip(returns / known, -OUTLIER, OUTLIER))[:, None]


def _range(bars: Bars) -> Floats:
    """What the day's range, gap and volume say about the spread to come, in nine scale-free columns.

    The day's variance is Garman and Klass (1980) plus the squared overnight return. Of the year's mean a quarter is
    enough: the more bars there are before, the steadier that column.
    """
    close, day_open, high, low = _log_prices(bars)
    returns = log_returns(bars.close)
    overnight = day_open - np.concatenate([[np.nan], close[:-1]])
    inside = 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * (close - day_open) ** 2
    variance = np.maximum(inside, LOWEST_VARIANCE) + overnight**2
    month = _mean(variance, MONTH)
    ewma = ewma_volatility(returns) ** 2
    deviation = np.sqrt(month)
    columns = [
        np.log(variance / month),
        np.clip(returns / deviation, -OUTLIER, OUTLIER),
        np.clip(overnight / deviation, -OUTLIER, OUTLIER),
        np.log(_mean(variance, WEEK) / month),
        np.log(month / ewma),
        np.log(_mean(variance, QUARTER) / ewma),
        np.log(_mean(variance, YEAR, fewest=QUARTER) / ewma),
        _unusual_volume(bars.volume),
        np.clip(np.minimum(returns, 0.0) / deviation, -OUTLIER, 0.0),
    ]
    rows = np.stack(columns, axis=1)
    rows[:QUARTER] = np.nan
    return rows


def _log_prices(bars: Bars) -> tuple[Floats, Floats, Floats, Floats]:
    """Logarithms of close, open, high and low; what is missing counts as the close, the range holds both ends."""
    with np.errstate(divide="ignore", invalid="ignore"):
        close, day_open, high, low = (np.log(values) for values in (bars.close, bars.open, bars.high, bars.low))
    day_open, high, low = (np.where(np.isfinite(values), values, close) for values in (day_open, high, low))
    return close, day_open, np.maximum.reduce([high, day_open, close]), np.minimum.reduce([low, day_open, close])


def _mean(values: Floats, length: int, *, fewest: int | None = None) -> Floats:
    """Mean of the last ``length`` values at every bar, or of what there is of them, but ``fewest`` at least.

    Missing values do not count; NaN where too few are left. ``fewest`` is ``length`` when left out.
    """
    fewest = length if fewest is None else fewest
    padded = np.concatenate([np.full(length - 1, np.nan), values])
    known = np.isfinite(padded)
    sums = sliding_window_view(np.where(known, padded, 0.0), length).sum(axis=1)
    so_far = np.concatenate([[0], np.cumsum(known)])
    counts = so_far[length:] - so_far[:-length]
    return np.where(counts >= fewest, sums / np.maximum(counts, 1), np.nan)


def _unusual_volume(volume: Floats) -> Floats:
    """Log of the volume over its mean log of the month; 0, "as usual", where there is no volume."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(volume)
    logs[~np.isfinite(logs)] = np.nan
    return np.nan_to_num(logs - _mean(logs, MONTH, fewest=1), nan=0.0)


_RANGE_COLUMNS = (
    "variance_to_month",
    "return",
    "overnight_return",
    "week_to_month",
    "month_to_ewma",
    "quarter_to_ewma",
    "year_to_ewma",
    "volume_to_month",
    "downside_return",
)

FEATURES = {
    **{field: _raw(field) for field in BAR_FIELDS},
    "returns": Feature(columns=("return",), look_back=SEED_RETURNS + 1, fields=("close",), compute=_returns),
    "range": Feature(
        columns=_RANGE_COLUMNS, look_back=QUARTER, fields=("open", "high", "low", "close"), compute=_range
    ),
}
