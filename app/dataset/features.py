"""Bars become columns of numbers: a table of named features, each of which looks back and never ahead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.dataset import indicators
from app.dataset.indicators import MONTH, QUARTER, RSI_SESSIONS
from app.dataset.volatility import SEED_RETURNS
from app.domain.dividends import reinvested
from app.domain.history import BAR_FIELDS, TRADED_FIELDS, Bars
from app.domain.spec import NetworkSpec
from app.errors import InvalidSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One named feature: ``compute`` maps bars to ``(bars, columns)``.

    Row ``t`` needs the bars ``t - look_back`` to ``t`` and knows none after ``t``; ``fields`` are the columns of the
    bars without which it is nothing.
    """

    columns: tuple[str, ...]
    look_back: int
    fields: tuple[str, ...]
    compute: Callable[[Bars], Floats]

    @property
    def is_column(self) -> bool:
        """Whether it is a column of the bars as it stands, and no indicator."""
        return self.columns == self.fields

    def rows(self, bars: Bars) -> Floats:
        """Return the feature at every bar, ``(bars, columns)``; NaN in the first ``look_back`` rows."""
        values = np.array(self.compute(bars))
        values[: self.look_back] = np.nan
        return values


def build_features(bars: Bars, names: Sequence[str], *, total: Bars | None = None) -> Floats:
    """Return the features ``names`` side by side, ``(bars, columns)``; row ``t`` knows the bars up to ``t`` alone.

    Rows are NaN while a feature warms up (``look_back`` bars). Columns of the bars are as quoted; indicators look at
    changes, and see them with dividends reinvested: in ``total``, where a caller has these bars already.

    Raises:
        InvalidSpec: a name is neither in the table nor a column of the bars; use one of those the error names.
    """
    require_known(names, extra=bars.extra)
    features = [feature_of(name) for name in names]
    if total is None and not all(feature.is_column for feature in features):
        total = reinvested(bars)
    return np.concatenate([one.rows(bars if total is None or one.is_column else total) for one in features], axis=1)


def feature_of(name: str) -> Feature:
    """Return the table's entry ``name``; any other name is the column of the bars that is called so, as it stands."""
    return FEATURES[name] if name in FEATURES else _raw(name)


def require_known(names: Sequence[str], *, extra: Collection[str] = (), pointer: str = "/spec/features") -> None:
    """Refuse names that are neither in the table nor among the ``extra`` columns of the bars.

    A source whose columns are not known before it is asked has no extra ones.

    Raises:
        InvalidSpec: there is no such feature; use one of those the error names.
    """
    known = [*FEATURES, *sorted(set(extra) - FEATURES.keys())]
    for name in names:
        if name not in known:
            detail = f"Unknown feature {name!r}. Known: {', '.join(known)}."
            raise InvalidSpec(detail, pointer=pointer, known=known)


def column_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that ``build_features`` makes, in their order."""
    return tuple(column for name in names for column in feature_of(name).columns)


def input_names(spec: NetworkSpec) -> tuple[str, ...]:
    """Return the names of all columns that a network of ``spec`` reads; those of a peer begin with its ticker."""
    of_peers = (f"{peer}:{name}" for peer in spec.peers for name in column_names(spec.read_of_peers))
    return (*column_names(spec.features), *of_peers)


def look_back(names: Sequence[str]) -> int:
    """Return how many bars before its own a row needs, the target's volatility included."""
    return max(SEED_RETURNS, *(feature_of(name).look_back for name in names))


def scale_free(spec: NetworkSpec) -> NDArray[np.bool_]:
    """Return which columns of ``spec`` are indicators, and so the same in any currency, ``(columns,)``."""
    read = map(feature_of, (*spec.features, *(spec.read_of_peers * len(spec.peers))))
    return np.concatenate([np.full(len(one.columns), not one.is_column) for one in read])


def fields_used(spec: NetworkSpec) -> tuple[str, ...]:
    """Return the columns of the ticker's own bars that ``spec`` cannot do without: bar fields first, then any other.

    ``range`` looks at the volume too, but counts a missing one as "as usual": it is not among them.
    """
    return _fields_of(spec.features, {target.field for target in spec.targets})


def peer_fields_used(spec: NetworkSpec) -> tuple[str, ...]:
    """Return the columns of a peer's bars that ``spec`` cannot do without, in the same order."""
    return _fields_of(spec.read_of_peers)


def _fields_of(names: Sequence[str], more: Iterable[str] = ()) -> tuple[str, ...]:
    used = {*more}.union(*(feature_of(name).fields for name in names))
    return (*(name for name in BAR_FIELDS if name in used), *sorted(used.difference(BAR_FIELDS)))


def _raw(column: str) -> Feature:
    """The column as it stands in the bars."""
    return Feature(columns=(column,), look_back=0, fields=(column,), compute=lambda bars: bars.column(column)[:, None])


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
    "returns": Feature(columns=("return",), look_back=SEED_RETURNS + 1, fields=("close",), compute=indicators.returns),
    "range": Feature(columns=_RANGE_COLUMNS, look_back=QUARTER, fields=TRADED_FIELDS, compute=indicators.daily_range),
    "moving_averages": Feature(
        columns=("close_to_week", "close_to_month", "close_to_quarter"),
        look_back=QUARTER - 1,
        fields=("close",),
        compute=indicators.moving_averages,
    ),
    "rsi": Feature(columns=("rsi",), look_back=RSI_SESSIONS, fields=("close",), compute=indicators.rsi),
    "calendar": Feature(
        columns=("weekday_sin", "weekday_cos", "month_sin", "month_cos", "log_days_since_last"),
        look_back=1,
        fields=(),
        compute=indicators.calendar,
    ),
    "range_volatility": Feature(
        columns=("week_volatility", "month_volatility"),
        look_back=MONTH,
        fields=TRADED_FIELDS,
        compute=indicators.range_volatility,
    ),
    "volume_change": Feature(
        columns=("volume_change",), look_back=1, fields=("volume",), compute=indicators.volume_change
    ),
}
