"""What may come: one distribution per step, in log returns from the last value.

Whoever reads a ``Predictive`` asks for ``location``, ``volatility``, ``prob_up``, ``quantile`` and ``cdf``, and need
not know which of the two kinds answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from app.domain.special import stdtr, stdtrit

Floats = NDArray[np.float64]

#: The probabilities of the quantiles that a network answers; the middle one is the median.
PROBABILITIES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
MEDIAN = PROBABILITIES.index(0.5)


@dataclass(frozen=True, eq=False)
class StudentT:
    """Student-t distributions of the cumulative log return, each array ``(origins, horizon)``.

    ``location`` is the median, ``scale`` > 0 the t scale (not the standard deviation),
    ``df`` > 2 the degrees of freedom. Step ``k`` reaches ``k + 1`` sessions beyond its origin.
    """

    location: Floats
    scale: Floats
    df: Floats

    def quantile(self, p: float | Floats) -> Floats:
        """Return the ``p``-quantile of every distribution, ``(origins, horizon)``, in log returns.

        With several ``p`` ``(k, 1)`` of one origin: ``(k, horizon)``.
        """
        return np.asarray(self.location + self.scale * stdtrit(self.df, p))

    def cdf(self, value: float | Floats) -> Floats:
        """Return the probability of a log return below ``value``, ``(origins, horizon)``; NaN where that is NaN."""
        return np.asarray(stdtr(self.df, (value - self.location) / self.scale))

    @property
    def volatility(self) -> Floats:
        """Standard deviation of the cumulative log return: ``scale * sqrt(df / (df - 2))``."""
        return np.asarray(self.scale * np.sqrt(self.df / (self.df - 2.0)))

    @property
    def prob_up(self) -> Floats:
        """Probability that the value ends above the last one."""
        return np.asarray(stdtr(self.df, self.location / self.scale))


# Between two quantiles, and beyond the last, a distribution is a Student-t of these degrees, moved and stretched: what
# daily returns have. Its own quantiles are the yardstick on which those of the network are joined by straight lines.
_DF = 5.0
_PEAK = 8 / (3 * np.pi * np.sqrt(5))  # their density at 0


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Distributions of the cumulative log return by their quantiles ``values`` ``(origins, horizon, 11)``.

    They are those of ``PROBABILITIES`` and never fall. Step ``k`` reaches ``k + 1`` sessions beyond its origin.
    """

    values: Floats

    @property
    def location(self) -> Floats:
        """The median, ``(origins, horizon)``."""
        return np.asarray(self.values[..., MEDIAN])

    def quantile(self, p: float | Floats) -> Floats:
        """Return the ``p``-quantile of every distribution, ``(origins, horizon)``, in log returns.

        With several ``p`` ``(k, 1)`` of one origin: ``(k, horizon)``.
        """
        shape = np.broadcast_shapes(np.shape(p), self.values.shape[:-1])
        place = np.broadcast_to(stdtrit(_DF, p), shape)
        yard = _yard()
        piece = np.clip(np.searchsorted(yard, place) - 1, 0, len(yard) - 2)
        low, high = _ends(np.broadcast_to(self.values, (*shape, self.values.shape[-1])), piece)
        share = (place - yard[piece]) / (yard[piece + 1] - yard[piece])
        return np.asarray(low + share * (high - low))

    def cdf(self, value: float | Floats) -> Floats:
        """Return the probability of a log return below ``value``, ``(origins, horizon)``; NaN where that is NaN."""
        moves = np.broadcast_to(value, self.values.shape[:-1])
        below = np.sum(self.values <= moves[..., None], axis=-1)
        yard = _yard()
        piece = np.clip(below - 1, 0, len(yard) - 2)
        low, high = _ends(self.values, piece)
        width = np.maximum(high - low, np.finfo(np.float64).tiny)  # of two equal quantiles all is below or above
        with np.errstate(over="ignore"):
            place = yard[piece] + (moves - low) / width * (yard[piece + 1] - yard[piece])
        return np.asarray(stdtr(_DF, place))

    @property
    def volatility(self) -> Floats:
        """Standard deviation of the cumulative log return."""
        yard = _yard()
        mass, first, second = _moments()
        stretch = np.diff(self.values, axis=-1) / np.diff(yard)
        shift = self.values[..., :-1] - stretch * yard[:-1]
        mean = shift @ mass + stretch @ first
        square = shift**2 @ mass + 2 * (shift * stretch) @ first + stretch**2 @ second
        return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))

    @property
    def prob_up(self) -> Floats:
        """Probability that the value ends above the last one."""
        return 1.0 - self.cdf(0.0)


Predictive = StudentT | Quantiles


def concatenate(parts: Sequence[Predictive]) -> Predictive:
    """Join predictives of consecutive origins, which are all of one kind."""
    if isinstance(parts[0], Quantiles):
        return Quantiles(np.concatenate([part.values for part in parts if isinstance(part, Quantiles)]))
    return StudentT(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("location", "scale", "df")))


def _ends(values: Floats, piece: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return the quantiles at both ends of one ``piece`` ``(origins, horizon)`` of each distribution."""
    low, high = (np.take_along_axis(values, (piece + end)[..., None], axis=-1)[..., 0] for end in (0, 1))
    return low, high


@cache
def _yard() -> Floats:
    """Return the yardstick: its own quantiles at ``PROBABILITIES``, ``(11,)``."""
    return stdtrit(_DF, np.array(PROBABILITIES))


@cache
def _moments() -> tuple[Floats, Floats, Floats]:
    """Return ``∫ f``, ``∫ z f`` and ``∫ z² f`` of the yardstick's density over each piece, ``(10,)`` each.

    The first and the last piece reach to infinity. The second is ``-(df + z²) f / (df - 1)`` between the ends; the
    third follows from ``z² f = df ((1 + z² / df) f - f)``, in which ``(1 + z² / df) f`` is a Student-t density of two
    degrees fewer, stretched, times ``(df - 1) / (df - 2)``.
    """
    ends = np.concatenate([[-np.inf], _yard()[1:-1], [np.inf]])
    below = stdtr(_DF, ends)
    height = np.exp(-0.5 * (_DF + 1) * np.log1p(ends**2 / _DF)) * _PEAK
    with np.errstate(invalid="ignore"):
        first = np.nan_to_num(-(_DF + ends**2) * height / (_DF - 1))
    fewer = (_DF - 1) / (_DF - 2) * stdtr(_DF - 2, ends * np.sqrt((_DF - 2) / _DF))
    return np.diff(below), np.diff(first), np.diff(_DF * (fewer - below))
