"""From the losses of a panel to its figures: how much better than GARCH, how evenly, how surely."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from arch.bootstrap import StationaryBootstrap
from numpy.typing import NDArray

from app.cli.panel.contestants import GARCH, NETWORK, PERSISTENCE
from app.cli.panel.losses import LEVEL, Losses, TickerLosses
from app.evaluation.metrics import kupiec_p
from app.evaluation.tests import CONFIDENCE, LAGS, REPETITIONS, SEED, confidence_set, diebold_mariano

Floats = NDArray[np.float64]
Pick = Callable[[TickerLosses], Losses]

SIGNIFICANT = 1.645  # of a one-sided test at 5 %


@dataclass(frozen=True, kw_only=True)
class Line:
    """The network beside GARCH on one ticker, one year, or all of the panel; gains in percent, positive is better.

    ``rmse_ratio`` is over the last close. ``coverage`` and ``coverage_shown`` are the shares inside the central 90 %
    band, raw and as displayed, in percent; ``kupiec_p`` tests the raw one, ``dm`` is Diebold and Mariano's statistic
    of the CRPS, positive when the network is better; both are of single tickers.
    """

    of: str
    n: int
    rmse_ratio: float
    crps: float
    interval: float
    qlike_range: float
    qlike_squares: float
    coverage: float
    coverage_shown: float
    kupiec_p: float | None = None
    dm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How sure the panel's figure is; ``dm`` and ``ci95`` are of the daily mean CRPS over all tickers.

    ``ci95`` is the interval of the CRPS gain in percent; ``better``, ``worse`` and ``kupiec`` are shares of tickers in
    percent: ahead, significantly behind (Diebold-Mariano below -1.645), and with a raw band that passes Kupiec's test
    at 5 %. ``confidence_set`` names who is left in the 90 % model confidence set.
    """

    dm: float
    dm_p: float
    ci95: tuple[float, float]
    better: float
    worse: float
    kupiec: float
    worst_rmse_ratio: float
    confidence_set: tuple[str, ...]


def ticker_lines(panel: Sequence[TickerLosses]) -> list[Line]:
    """Return one line a ticker."""
    return [_line(one.ticker, [one], tested=True) for one in panel]


def year_lines(panel: Sequence[TickerLosses]) -> list[Line]:
    """Return one line a calendar year, over all tickers."""
    years = sorted({int(year) for one in panel for year in _years(one)})
    return [_line(str(year), [_only(one, _years(one) == year) for one in panel]) for year in years]


def panel_line(panel: Sequence[TickerLosses]) -> Line:
    """Return the line over all rows; its RMSE ratio is the mean of those of the tickers."""
    return _line("all", panel)


def evidence(panel: Sequence[TickerLosses]) -> Evidence:
    """Return how sure the difference is: on the daily mean over tickers, for tickers of one day are not independent."""
    singles = ticker_lines(panel)
    daily = {name: _daily_means(panel, name) for name in panel[0].crps}
    test = diebold_mariano(daily[NETWORK], daily[GARCH])
    draws = StationaryBootstrap(LAGS, daily[NETWORK], daily[GARCH], seed=SEED)
    low, high = draws.conf_int(_gain, reps=REPETITIONS, method="percentile", size=0.95)[:, 0]
    p = confidence_set(daily) or {}
    return Evidence(
        dm=-test.statistic if test else 0.0,
        dm_p=test.p if test else 1.0,
        ci95=(float(low), float(high)),
        better=_share([line.crps > 0 for line in singles]),
        worse=_share([(line.dm or 0.0) < -SIGNIFICANT for line in singles]),
        kupiec=_share([(line.kupiec_p or 0.0) > 0.05 for line in singles]),
        worst_rmse_ratio=max(line.rmse_ratio for line in singles),
        confidence_set=tuple(name for name in p if p[name] >= 1 - CONFIDENCE),
    )


def _line(of: str, panel: Sequence[TickerLosses], *, tested: bool = False) -> Line:
    panel = [one for one in panel if len(one)]
    ratios = [np.sqrt(one.squared[NETWORK].mean() / one.squared[PERSISTENCE].mean()) for one in panel]
    single = panel[0]
    test = diebold_mariano(single.crps[NETWORK], single.crps[GARCH]) if tested else None
    return Line(
        of=of,
        n=sum(map(len, panel)),
        rmse_ratio=float(np.mean(ratios)),
        crps=_gain_of(panel, lambda one: one.crps),
        interval=_gain_of(panel, lambda one: one.interval),
        qlike_range=_gain_of(panel, lambda one: one.qlike_range),
        qlike_squares=_gain_of(panel, lambda one: one.qlike_squares),
        coverage=_share(np.concatenate([one.inside for one in panel])),
        coverage_shown=_share(np.concatenate([one.inside_shown for one in panel])),
        kupiec_p=kupiec_p(single.inside, LEVEL) if tested else None,
        dm=-test.statistic if test else None,
    )


def _gain_of(panel: Sequence[TickerLosses], pick: Pick) -> float:
    ours, theirs = (np.concatenate([pick(one)[name] for one in panel]) for name in (NETWORK, GARCH))
    return float(_gain(ours, theirs)[0])


def _gain(ours: Floats, theirs: Floats) -> Floats:
    """How much lower the mean of ``ours`` is, in percent."""
    return np.asarray([100 * (1 - ours.mean() / theirs.mean())])


def _daily_means(panel: Sequence[TickerLosses], name: str) -> Floats:
    """Return the mean CRPS of each day over the tickers that have it, oldest first."""
    sessions = np.concatenate([one.sessions for one in panel])
    losses = np.concatenate([one.crps[name] for one in panel])
    _, day = np.unique(sessions, return_inverse=True)
    return np.bincount(day, losses) / np.bincount(day)


def _only(one: TickerLosses, chosen: NDArray[np.bool_]) -> TickerLosses:
    def cut(losses: Mapping[str, Floats]) -> dict[str, Floats]:
        return {name: values[chosen] for name, values in losses.items()}

    return TickerLosses(
        ticker=one.ticker,
        sessions=one.sessions[chosen],
        squared=cut(one.squared),
        crps=cut(one.crps),
        interval=cut(one.interval),
        qlike_squares=cut(one.qlike_squares),
        qlike_range=cut(one.qlike_range),
        inside=one.inside[chosen],
        inside_shown=one.inside_shown[chosen],
    )


def _years(one: TickerLosses) -> NDArray[np.int64]:
    return one.sessions.astype("datetime64[Y]").astype(np.int64) + 1970


def _share(truths: Sequence[bool] | NDArray[np.bool_]) -> float:
    return float(100 * np.mean(truths))
