"""How wide the next return will be, as a line: a Student-t whose log scale is linear in what is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from app.domain.distribution import StudentT
from app.domain.student_t import LOWEST_DF

Floats = NDArray[np.float64]

RIDGE = 3.0  # a squared weight of 1 costs as much as this many nats of likelihood, over all rows together
LARGEST_LOG = 5.0  # of a log scale, and of the excess of degrees of freedom, either way
MOST_ITERATIONS = 300


@dataclass(frozen=True, eq=False, kw_only=True)
class ScaleLine:
    """Student-t distributions with ``log s = bias + rows @ weights`` and location ``s * drift``.

    ``weights`` is ``(columns,)``; ``s`` counts in the units that the line was fitted in.
    """

    bias: float
    weights: Floats
    drift: float
    df: float

    def log_scale(self, rows: Floats) -> Floats:
        """Return the log scale that ``rows`` ``(n, columns)`` mean, ``(n,)``."""
        return np.asarray(np.clip(self.bias + rows @ self.weights, -LARGEST_LOG, LARGEST_LOG))

    def predictive(self, rows: Floats, unit: Floats) -> StudentT:
        """Return what ``rows`` ``(n, columns)`` say of the next log return, ``(n, 1)``.

        ``unit`` ``(n,)`` is what one unit of the fit is there, such as the volatility known at the row.
        """
        scale = (np.exp(self.log_scale(rows)) * unit)[:, None]
        return StudentT(self.drift * scale, scale, np.full(scale.shape, self.df))


def fit_scale_line(rows: Floats, units: Floats) -> ScaleLine:
    """Fit the line by maximum likelihood on what was known, ``rows`` ``(n, columns)``, and what came, ``units``.

    ``units`` ``(n,)`` are the returns that followed each row, in units of a volatility known there. Rows of which
    something is missing do not count. L-BFGS with the analytic gradient; a small ridge on the weights of standardised
    columns keeps columns that say the same apart. On logarithms of mean daily variances over a day, a week, a month
    and a quarter this is HAR (Corsi, Journal of Financial Econometrics 7, 2009) with the likelihood of daily returns.
    """
    # Most processes that know lines never fit one, and the optimisers cost memory.
    from scipy.optimize import minimize

    known = np.isfinite(rows).all(axis=1) & np.isfinite(units)
    rows, units = rows[known], units[known]
    if not len(units):
        return ScaleLine(bias=0.0, weights=np.zeros(rows.shape[1]), drift=0.0, df=LOWEST_DF + np.e)
    center, size = rows.mean(axis=0), rows.std(axis=0)
    size[size == 0] = 1.0
    standard = np.concatenate([np.ones((len(rows), 1)), (rows - center) / size], axis=1)
    first = np.zeros(standard.shape[1] + 2)
    first[0] = np.log(max(0.8 * float(np.sqrt(np.mean(units**2))), np.exp(-LARGEST_LOG)))
    first[-1] = 1.0
    found = minimize(
        _loss, first, args=(standard, units), jac=True, method="L-BFGS-B", options={"maxiter": MOST_ITERATIONS}
    ).x
    weights = found[1:-2] / size
    return ScaleLine(
        bias=float(found[0] - weights @ center), weights=weights, drift=float(found[-2]), df=_df(float(found[-1]))
    )


def _loss(guess: Floats, standard: Floats, units: Floats) -> tuple[float, Floats]:
    """Mean negative log likelihood with its ridge, and the gradient.

    ``guess`` holds bias and weights of ``standard`` ``(n, 1 + columns)``, the drift, and the log excess of degrees of
    freedom over the lowest.
    """
    line, drift, df = guess[:-2], guess[-2], _df(guess[-1])
    raw = standard @ line
    log_scale = np.clip(raw, -LARGEST_LOG, LARGEST_LOG)
    error = units * np.exp(-log_scale) - drift
    squares = error**2 / df
    constant = gammaln(df / 2) - gammaln((df + 1) / 2) + 0.5 * np.log(df * np.pi)
    losses = log_scale + constant + (df + 1) / 2 * np.log1p(squares)

    pull = (df + 1) * error / (df * (1 + squares))
    of_scale = np.where(raw == log_scale, 1 - pull * (error + drift), 0.0)
    of_df = 0.5 * (np.log1p(squares) - (df + 1) / df * squares / (1 + squares) + 1 / df)
    of_df += 0.5 * (digamma(df / 2) - digamma((df + 1) / 2))
    inside = abs(guess[-1]) < LARGEST_LOG
    ridge = RIDGE / len(units)
    gradient = np.concatenate(
        [standard.T @ of_scale / len(units), [-pull.mean(), of_df.mean() * (df - LOWEST_DF) * inside]]
    )
    gradient[1:-2] += 2 * ridge * line[1:]
    return float(losses.mean() + ridge * np.sum(line[1:] ** 2)), gradient


def _df(log_excess: float) -> float:
    return float(LOWEST_DF + np.exp(np.clip(log_excess, -LARGEST_LOG, LARGEST_LOG)))
