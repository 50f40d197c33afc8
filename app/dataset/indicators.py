"""What can be read off bars, one pure function an indicator: bars in, ``(bars, columns)`` out, never looking ahead.

Every number is free of the currency and of the size of the instrument, and says what ``bars`` say of a dividend: give
them reinvested, and it is no fall. A row that some column cannot fill yet is the
table's business (``app.dataset.features``): it says how far each indicator looks back.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from app.dataset.volatility import ewma_volatility, log_returns
from app.domain.history import Bars

Floats = NDArray[np.float64]

WEEK, MONTH, QUARTER, YEAR = 5, 22, 66, 250  # sessions
RSI_SESSIONS = 14
LOWEST_VARIANCE = 1e-8  # a day on which nothing moved still has a logarithm
OUTLIER = 6.0


def returns(bars: Bars) -> Floats:
    """Log return of the close in units of the volatility known a bar before."""
    moves = log_returns(bars.close)
    known = np.concatenate([[np.nan], ewma_volatility(moves)[:-1]])
    return np.asarray(np.clip(moves / known, -OUTLIER, OUTLIER))[:, None]


def daily_range(bars: Bars) -> Floats:
    """What the day's range, gap and volume say about the spread to come, in nine scale-free columns.

    Of the year's mean a quarter is enough: the more bars there are before, the steadier that column.
    """
    moves, overnight, variance = log_returns(bars.close), _overnight(bars), daily_variance(bars)
    month = _mean(variance, MONTH)
    ewma = ewma_volatility(moves) ** 2
    deviation = np.sqrt(month)
    columns = [
        np.log(variance / month),
        np.clip(moves / deviation, -OUTLIER, OUTLIER),
        np.clip(overnight / deviation, -OUTLIER, OUTLIER),
        np.log(_mean(variance, WEEK) / month),
        np.log(month / ewma),
        np.log(_mean(variance, QUARTER) / ewma),
        np.log(_mean(variance, YEAR, fewest=QUARTER) / ewma),
        _unusual_volume(bars.volume),
        np.clip(np.minimum(moves, 0.0) / deviation, -OUTLIER, 0.0),
    ]
    return np.stack(columns, axis=1)


def moving_averages(bars: Bars) -> Floats:
    """Log distance of the close to its mean of the last week, month and quarter, its own included."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = [np.log(bars.close / _mean(bars.close, length)) for length in (WEEK, MONTH, QUARTER)]
    return np.stack(distances, axis=1)


def rsi(bars: Bars) -> Floats:
    """Relative strength index of 14 sessions, from 0 (only losses) to 1 (only gains); a half where nothing moved.

    Wilder, New Concepts in Technical Trading Systems (1978), chapter 6: mean gain / (mean gain + mean loss), in price
    points. Both start as plain means of the first 14 changes; each later change then counts a fourteenth, what was
    before it thirteen.
    """
    changes = np.diff(bars.close)
    gain, loss = (_wilder_means(np.maximum(sign * changes, 0.0)) for sign in (1.0, -1.0))
    strength = np.full(len(bars), np.nan)
    moved = gain + loss
    with np.errstate(divide="ignore", invalid="ignore"):
        strength[RSI_SESSIONS:] = np.where(moved == 0, 0.5, gain / moved)
    return strength[:, None]


def calendar(bars: Bars) -> Floats:
    """Weekday and month of the bar's own session as points on a circle, and the log of the days since the last one.

    The weekday's circle has seven days, since some markets never rest. When the next session is, a bar does not know:
    that is the exchange's to say.
    """
    days = bars.sessions.astype("datetime64[D]")
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    month = days.astype("datetime64[M]").astype(np.int64) % 12
    angles = [2 * np.pi * weekday / 7, 2 * np.pi * month / 12]
    since = np.log(np.diff(days.astype(np.float64), prepend=np.nan))
    return np.stack([*(wave(angle) for angle in angles for wave in (np.sin, np.cos)), since], axis=1)


def range_volatility(bars: Bars) -> Floats:
    """Log of the volatility of a session by the ranges of the last week and month, overnight moves included."""
    variance = daily_variance(bars)
    return np.stack([0.5 * np.log(_mean(variance, length)) for length in (WEEK, MONTH)], axis=1)


def volume_change(bars: Bars) -> Floats:
    """Log of the volume over that of the session before.

    A session in which nothing was traded is as large a fall as can be told, and the next one as large a rise; two of
    them in a row are no change.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.diff(np.log(bars.volume), prepend=np.nan)
    none = bars.volume == 0
    change[1:][none[1:] & none[:-1]] = 0.0
    return np.asarray(np.clip(change, -OUTLIER, OUTLIER))[:, None]


def _overnight(bars: Bars) -> Floats:
    """Log step from the close before to the open."""
    close, day_open, _, _ = _log_prices(bars)
    return np.asarray(day_open - np.concatenate([[np.nan], close[:-1]]))


def daily_variance(bars: Bars) -> Floats:
    """Return each day's variance: Garman and Klass, Journal of Business 53 (1980), plus the squared overnight step."""
    close, day_open, high, low = _log_prices(bars)
    inside = 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * (close - day_open) ** 2
    return np.asarray(np.maximum(inside, LOWEST_VARIANCE) + _overnight(bars) ** 2)


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


def _wilder_means(values: Floats) -> Floats:
    """Wilder's running means of ``values`` ``(n,)`` from the fourteenth on, ``(n - 13,)``; none of fewer values."""
    if len(values) < RSI_SESSIONS:
        return np.empty(0)
    start = float(values[:RSI_SESSIONS].mean())
    later = values[RSI_SESSIONS:].tolist()
    return np.array(list(accumulate(later, lambda mean, value: mean + (value - mean) / RSI_SESSIONS, initial=start)))
