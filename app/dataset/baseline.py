"""What is answered where no network has earned its place."""

from __future__ import annotations

import numpy as np

from app.dataset.targets import future_log_returns, step_scale
from app.dataset.volatility import SEED_RETURNS, ewma_volatility, log_returns
from app.domain.distribution import Predictive, StudentT
from app.domain.dividends import reinvested
from app.domain.history import Bars
from app.domain.student_t import fit_spread
from app.errors import NotEnoughHistory

MEMORY_BARS = 1000  # so that whoever scores it later, with more or fewer bars at hand, says the same


def ewma_t(bars: Bars, *, horizon: int) -> Predictive:
    """Forecast no change from the last close of ``bars``, as wide as recent volatility, ``(1, horizon)``.

    The baseline of every backtest, fitted on the total returns of the newest thousand bars that have a close.

    Raises:
        NotEnoughHistory: too few closes for a volatility; bring ``need``.
    """
    need = SEED_RETURNS + 1
    traded = bars.rows(bars.close > 0).rows(slice(-MEMORY_BARS, None))
    if len(traded) < need:
        raise NotEnoughHistory(f"{len(traded)} bars, at least {need} needed.", have=len(traded), need=need)
    values = reinvested(traded).close
    sigma = ewma_volatility(log_returns(values))
    known = np.isfinite(sigma)
    scale, df = fit_spread(future_log_returns(values, horizon)[known], sigma[known])
    unit = step_scale(sigma[-1:], horizon)
    return StudentT(np.zeros_like(unit), scale * unit, np.broadcast_to(df, unit.shape).copy())
