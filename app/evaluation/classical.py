"""GARCH(1,1) and GJR-GARCH(1,1) with Student-t errors: what econometrics says of the spread."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from app.domain.distribution import Predictive, StudentT, concatenate
from app.domain.student_t import fit_spread

Floats = NDArray[np.float64]

FEWEST_RETURNS = 100  # below, five parameters would be fitted to noise
LOWEST = 1e-4  # standard deviation of a session's return, one basis point: flat stretches are not certainties
_EWMA = 0.06


@dataclass(frozen=True, kw_only=True)
class GarchFit:
    """``variance' = omega + (alpha + gamma [e < 0]) e^2 + beta variance`` of log returns ``e`` off their ``mean``.

    ``first`` is the variance of the first return, ``unit`` the Student-t scale of one standard deviation, ``df`` > 2.
    ``origin``: ``fitted``; ``kept``, when the fit failed and the parameters before it go on; ``ewma``, when there were
    none (the variance of RiskMetrics is a GARCH with ``omega`` 0 and ``beta`` 0.94).
    """

    mean: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    first: float
    unit: float
    df: float
    origin: Literal["fitted", "kept", "ewma"] = "fitted"


@dataclass(frozen=True, eq=False)
class GarchForecasts:
    """What was ``said``, a row a return, and the parameters behind it, one of ``fits`` a cut."""

    said: Predictive
    fits: tuple[GarchFit, ...]


def garch_t(
    returns: Floats, cuts: Sequence[int], *, stop: int, asymmetric: bool = False, horizon: int = 1
) -> GarchForecasts:
    """Forecast each of ``returns[cuts[0]:stop]`` from the returns before it, ``(stop - cuts[0], horizon)``.

    ``returns`` ``(n,)`` are log returns from session to session, oldest first; ``returns[stop - 1]`` itself is not
    read, so ``stop`` may be ``n + 1``. At each of ``cuts``, increasing, the parameters are fitted anew to
    ``returns[:cut]``; up to the next one the variance is filtered with them. Step ``k`` is the cumulative return of
    ``k + 1`` sessions, its variance the sum of the expected ones.

    GARCH: Bollerslev (1986, 1987). ``asymmetric``: falls weigh more, Glosten, Jagannathan and Runkle (1993).

    Raises:
        ValueError: a cut has no return before it, or ``cuts`` and ``stop`` do not increase; order them.
    """
    edges = [*cuts, stop]
    if edges[0] < 1 or any(after <= before for before, after in pairwise(edges)):
        raise ValueError(f"Cuts {list(cuts)} and stop {stop} do not increase from 1 on.")
    fits: list[GarchFit] = []
    parts = []
    for cut, end in pairwise(edges):
        fits.append(_fit_or_fall_back(returns[:cut], asymmetric, fits))
        variances = _filtered(returns[: end - 1], fits[-1])[cut:]
        parts.append(_ahead(variances, fits[-1], horizon))
    return GarchForecasts(concatenate(parts), tuple(fits))


def fit_garch_t(returns: Floats, *, asymmetric: bool = False) -> GarchFit | None:
    """Fit by maximum likelihood to ``returns`` ``(n,)``; ``None`` when they are too few or it does not converge."""
    deviation = float(np.std(returns))
    if len(returns) < FEWEST_RETURNS or deviation < LOWEST / 100:
        return None
    # The filter below does without; only fitting needs the library.
    from arch import arch_model

    # The optimiser's tolerances are made for numbers of size one.
    model = arch_model(returns / deviation, mean="Constant", vol="GARCH", p=1, o=int(asymmetric), q=1, dist="t")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # whether it converged is asked here
        result = model.fit(disp="off", show_warning=False)
    found = result.params
    if result.convergence_flag != 0 or not np.isfinite(found).all():
        return None
    return _in_log_returns(found, float(result.conditional_volatility[0]), deviation)


def _in_log_returns(found: Any, first: float, deviation: float) -> GarchFit:
    df = float(found["nu"])
    return GarchFit(
        mean=float(found["mu"]) * deviation,
        omega=float(found["omega"]) * deviation**2,
        alpha=float(found["alpha[1]"]),
        gamma=float(found.get("gamma[1]", 0.0)),
        beta=float(found["beta[1]"]),
        first=(first * deviation) ** 2,
        unit=float(np.sqrt((df - 2) / df)),
        df=df,
    )


def _fit_or_fall_back(known: Floats, asymmetric: bool, before: list[GarchFit]) -> GarchFit:
    """Fit to ``known``, else go on with the last parameters that were fitted, else with an exponential average."""
    if (found := fit_garch_t(known, asymmetric=asymmetric)) is not None:
        return found
    if before and before[-1].origin != "ewma":
        return replace(before[-1], origin="kept")
    first = max(float(np.mean(known**2)), LOWEST**2)
    ewma = GarchFit(
        mean=0.0, omega=0.0, alpha=_EWMA, gamma=0.0, beta=1 - _EWMA, first=first, unit=1.0, df=np.inf, origin="ewma"
    )
    scale, df = fit_spread(known[:, None], np.sqrt(_filtered(known, ewma)[:-1]))
    return replace(ewma, unit=float(scale[0]), df=float(df[0]))


def _filtered(returns: Floats, fit: GarchFit) -> Floats:
    """Return the variance of each of ``returns`` ``(n,)`` as known before it, and of the one to come, ``(n + 1,)``."""
    errors = returns - fit.mean
    news = fit.omega + (fit.alpha + fit.gamma * (errors < 0)) * errors**2
    variances = lfilter([1.0], [1.0, -fit.beta], np.concatenate([[fit.first], news]))
    return np.asarray(np.maximum(variances, LOWEST**2))


def _ahead(variances: Floats, fit: GarchFit, horizon: int) -> Predictive:
    """Add up the variances expected of the next ``horizon`` returns, from that of the first, ``(n,)``."""
    lasting = fit.alpha + fit.gamma / 2 + fit.beta
    steps = np.empty((len(variances), horizon))
    steps[:, 0] = variances
    for step in range(1, horizon):
        steps[:, step] = fit.omega + lasting * steps[:, step - 1]
    scale = fit.unit * np.sqrt(np.cumsum(steps, axis=1))
    location = fit.mean * np.arange(1, horizon + 1)
    return StudentT(np.broadcast_to(location, scale.shape).copy(), scale, np.full_like(scale, fit.df))
