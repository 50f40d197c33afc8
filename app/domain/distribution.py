"""What may come: one Student-t distribution per step, in log returns from the last value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictive:
    """Student-t distributions of the cumulative log return, each array ``(origins, horizon)``.

    ``location`` is the median, ``scale`` > 0 the t scale (not the standard deviation),
    ``df`` > 2 the degrees of freedom. Step ``k`` reaches ``k + 1`` sessions beyond its origin.
    """

    location: Floats
    scale: Floats
    df: Floats

    def quantile(self, p: float) -> Floats:
        """Return the ``p``-quantile of every distribution, ``(origins, horizon)``, in log returns."""
        return np.asarray(self.location + self.scale * stdtrit(self.df, p))

    def cdf(self, value: Floats) -> Floats:
        """Return the probability of a log return of at most ``value`` ``(origins, horizon)``; NaN where that is NaN."""
        return np.asarray(stdtr(self.df, (value - self.location) / self.scale))

    @property
    def volatility(self) -> Floats:
        """Standard deviation of the cumulative log return: ``scale * sqrt(df / (df - 2))``."""
        return np.asarray(self.scale * np.sqrt(self.df / (self.df - 2.0)))

    @property
    def prob_up(self) -> Floats:
        """Probability that the value ends above the last one."""
        return np.asarray(stdtr(self.df, self.location / self.scale))


def concatenate(parts: list[Predictive]) -> Predictive:
    """Join predictives of consecutive origins."""
    return Predictive(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("location", "scale", "df")))
