"""What each forecast of a panel cost: one row a ticker and session, one loss a contestant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scoringrules
from numpy.typing import NDArray

from app.cli.panel.contestants import NETWORK
from app.cli.panel.market import PanelTicker
from app.domain.distribution import Predictive
from app.evaluation.calibration import nonconformity, shown_levels
from app.evaluation.metrics import crps, qlike

Floats = NDArray[np.float64]
Losses = Mapping[str, Floats]

LEVEL = 90.0  # percent, of the band that is judged
SMALLEST_VARIANCE = 1e-7


@dataclass(frozen=True, eq=False, kw_only=True)
class TickerLosses:
    """The losses of one ticker, ``(n,)`` a contestant.

    ``squared`` are errors of the median in log returns, ``crps`` is in log returns, ``interval`` the interval score of
    the central 90 % band, ``qlike_squares`` and ``qlike_range`` are of the variance against the squared return and the
    day's range. ``inside`` and ``inside_shown`` say whether the network's band held the return, raw and as displayed.
    """

    ticker: str
    sessions: NDArray[np.datetime64]
    squared: Losses
    crps: Losses
    interval: Losses
    qlike_squares: Losses
    qlike_range: Losses
    inside: NDArray[np.bool_]
    inside_shown: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sessions)


def losses_of(one: PanelTicker, said: Mapping[str, Predictive]) -> TickerLosses:
    """Score what all contestants ``said``, ``(n, 1)`` each, against what came.

    CRPS is the integral over all probabilities for every contestant: of a Student-t in closed form, of quantiles by
    200 evenly spaced ones, which overstates by less than 0.01 %. QLIKE is ``p / h - log(p / h) - 1`` of the variance
    ``h`` and the proxy ``p`` (Patton, Journal of Econometrics 160, 2011); the range variance is brought to the mean of
    the squared returns, for it misses part of the day.
    """
    actual = one.actual
    squares = actual**2
    proxy = np.maximum(one.variances[one.origins + 1], SMALLEST_VARIANCE)
    proxy = proxy * squares.mean() / proxy.mean()
    tail = (1 - LEVEL / 100) / 2
    pits = said[NETWORK].cdf(actual[:, None])[:, 0]
    shown = shown_levels(pits, [LEVEL])[:, 0]
    bands = {name: (s.quantile(tail)[:, 0], s.quantile(1 - tail)[:, 0]) for name, s in said.items()}
    lower, upper = bands[NETWORK]
    return TickerLosses(
        ticker=one.ticker,
        sessions=one.sessions,
        squared={name: (actual - s.location[:, 0]) ** 2 for name, s in said.items()},
        crps={name: crps(s, actual[:, None])[:, 0] for name, s in said.items()},
        interval={
            name: np.asarray(scoringrules.interval_score(actual, *band, 1 - LEVEL / 100))
            for name, band in bands.items()
        },
        qlike_squares={name: qlike(s, squares) for name, s in said.items()},
        qlike_range={name: qlike(s, proxy) for name, s in said.items()},
        inside=(lower <= actual) & (actual <= upper),
        inside_shown=nonconformity(pits) <= shown,
    )
