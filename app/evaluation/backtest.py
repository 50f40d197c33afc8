"""Folds x contestants: what each would have said at every out-of-sample session, beside what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.distribution import Predictive, concatenate
from app.evaluation.baselines import Contestant
from app.evaluation.metrics import crps
from app.evaluation.splits import Split

Floats = NDArray[np.float64]

MODEL, BASELINE = "model", "persistence"


@dataclass(frozen=True, eq=False, kw_only=True)
class Backtest:
    """Out-of-sample forecasts of all contestants, one row an origin, oldest first.

    ``sessions`` ``(n,)`` are the target sessions of step 1, ``origins`` ``(n,)`` the bars that were last known,
    ``last_value`` ``(n,)`` the target field there. ``actual`` ``(n, horizon)`` are log returns from it, NaN where the
    future is not known. ``contestants`` maps ``model``, ``persistence``, ``drift`` to what they said.
    """

    sessions: NDArray[np.datetime64]
    origins: NDArray[np.intp]
    last_value: Floats
    actual: Floats
    contestants: Mapping[str, Predictive]
    protocol: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def residuals(self) -> Floats:
        """How far the model's location was off, ``(n, horizon)`` in log returns, NaN where the future is not known."""
        return self.actual - self.contestants[MODEL].location


def backtest(
    cut: Split,
    contestants: Mapping[str, Contestant],
    *,
    sessions: NDArray[np.datetime64],
    values: Floats,
    targets: Floats,
) -> Backtest:
    """Let every contestant forecast the test origins of every fold, each fitted on that fold's training part.

    ``sessions`` and ``values`` ``(bars,)`` and ``targets`` ``(bars, horizon)`` cover the whole history; they are only
    read at the test origins, to write down what came.
    """
    said: dict[str, list[Predictive]] = {name: [] for name in contestants}
    for fold in cut.folds:
        for name, forecast in contestants.items():
            said[name].append(forecast(fold))
    origins = np.concatenate([np.arange(fold.test.start, fold.test.stop) for fold in cut.folds])
    return Backtest(
        sessions=sessions[origins + 1],
        origins=origins,
        last_value=values[origins],
        actual=targets[origins],
        contestants={name: concatenate(parts) for name, parts in said.items()},
        protocol=cut.protocol,
    )


def predictions(result: Backtest) -> dict[str, Any]:
    """Return the model's step-1 forecasts beside the actuals in chart-ready columns, JSON-ready.

    ``crps`` is each session's loss in log-return units: what a later challenger is compared with.
    """
    model = result.contestants[MODEL]
    prices = {name: _price(result, model.quantile(p)) for name, p in _LINES.items()}
    return {
        "session": [str(session) for session in result.sessions],
        "last_value": result.last_value.tolist(),
        "actual": _price(result, result.actual),
        **prices,
        "crps": crps(model, result.actual)[:, 0].tolist(),
        "crps_persistence": crps(result.contestants[BASELINE], result.actual)[:, 0].tolist(),
    }


def _price(result: Backtest, log_returns: Floats) -> list[float]:
    prices: list[float] = (result.last_value * np.exp(log_returns[:, 0])).tolist()
    return prices


_LINES = {"predicted": 0.5, "lower_80": 0.1, "upper_80": 0.9, "lower_95": 0.025, "upper_95": 0.975}
