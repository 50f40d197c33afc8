"""How wide, and with how heavy tails: a Student-t fitted around zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.domain.special import gammaln

Floats = NDArray[np.float64]

LOWEST_DF = 2.1  # the standard deviation has to exist
LARGEST_DF = 200.0  # as good as normal
FEWEST_RESIDUALS = 30


def fit_spread(residuals: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Fit a Student-t around 0 to each step's ``residuals`` ``(origins, horizon)``, in units of ``sigma`` x √k.

    ``sigma`` ``(origins,)`` is the volatility known at each origin. Maximum likelihood; NaN residuals do not count,
    and with fewer than 30 a normal spread of their size is taken. Returns scale and degrees of freedom, ``(horizon,)``
    each.
    """
    horizon = residuals.shape[1]
    units = residuals / (sigma[:, None] * np.sqrt(np.arange(1, horizon + 1)))
    fitted = [_fit(units[np.isfinite(units[:, step]), step]) for step in range(horizon)]
    scale, df = np.array(fitted, dtype=np.float64).T
    return scale, df


def student_t_nll(residuals: Floats, *, log_scale: float, df: float) -> Floats:
    """Return the negative log likelihood of each residual under a Student-t around 0."""
    squares = (residuals * np.exp(-log_scale)) ** 2
    constant = gammaln(df / 2) - gammaln((df + 1) / 2) + 0.5 * np.log(df * np.pi)
    return np.asarray(log_scale + constant + (df + 1) / 2 * np.log1p(squares / df))


def _fit(units: Floats) -> tuple[float, float]:
    # Most processes that know distributions never fit one, and the optimisers cost memory.
    from scipy.optimize import minimize

    deviation = float(np.sqrt(np.mean(units**2))) if len(units) else 1.0
    if len(units) < FEWEST_RESIDUALS or not deviation > 0:
        return deviation or 1.0, LARGEST_DF

    def loss(guess: Floats) -> float:
        return float(np.mean(student_t_nll(units, log_scale=guess[0], df=_df(guess[1]))))

    # Two parameters with a kink at the bound: the simplex needs no gradient.
    log_scale, log_excess = minimize(loss, [np.log(0.9 * deviation), 1.0], method="Nelder-Mead").x
    return float(np.exp(log_scale)), _df(log_excess)


def _df(log_excess: float) -> float:
    return float(min(LOWEST_DF + np.exp(min(log_excess, 10.0)), LARGEST_DF))
