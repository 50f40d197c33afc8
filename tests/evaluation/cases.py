"""Made-up backtests."""

from __future__ import annotations

import numpy as np

from app.domain.distribution import Predictive, StudentT
from app.evaluation.backtest import Backtest


def made_up_backtest(
    count: int = 600,
    *,
    model_scale: float = 1.0,
    baseline_scale: float = 1.6,
    model_location: float = 0.0,
    history: int = 2000,
) -> Backtest:
    """The log returns are t(5) x 1 %; ``model`` and the baselines name that spread times their factor."""
    random = np.random.default_rng(7)
    actual = 0.01 * random.standard_t(5, (count, 1))
    flat = np.ones((count, 1))

    def said(location: float, factor: float) -> Predictive:
        return StudentT(location * flat, 0.01 * factor * flat, 5.0 * flat)

    start = np.datetime64("2015-01-05")
    return Backtest(
        field="close",
        sessions=np.busday_offset(start, np.arange(count)).astype("datetime64[D]"),
        origins=np.arange(count),
        last_value=np.full(count, 100.0),
        actual=actual,
        contestants={
            "model": said(model_location, model_scale),
            "persistence": said(0.0, 2 * baseline_scale),
            "ewma_t": said(0.0, baseline_scale),
            "drift": said(0.0003, baseline_scale),
        },
        usual_change=np.full(count, 0.8),
        protocol={"kind": "walk_forward", "history_sessions": history},
    )
