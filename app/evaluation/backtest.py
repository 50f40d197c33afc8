"""Folds x contestants: what each would have said at every out-of-sample session, beside what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.distribution import Predictive, concatenate
from app.evaluation.baselines import Contestant
from app.evaluation.splits import Split

Floats = NDArray[np.float64]

MODEL, BASELINE = "model", "persistence"


@dataclass(frozen=True, eq=False, kw_only=True)
class Backtest:
    """Out-of-sample forecasts of one field by all contestants, one row an origin, oldest first.

    ``sessions`` ``(n,)`` are the target sessions of step 1, ``origins`` ``(n,)`` the rows that were last known,
    ``last_value`` ``(n,)`` the field there. ``actual`` ``(n, horizon)`` are log returns from it, NaN where the
    future is not known. ``contestants`` maps ``model``, ``persistence``, ``drift`` to what they said.
    """

    field: str
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
    field: str,
    next_sessions: NDArray[np.datetime64],
    values: Floats,
    targets: Floats,
) -> Backtest:
    """Let every contestant forecast the test origins of every fold, each fitted on that fold's training part.

    ``next_sessions`` and ``values`` ``(rows,)`` and ``targets`` ``(rows, horizon)`` cover the whole history; they are
    only read at the test origins, to write down what came.
    """
    said: dict[str, list[Predictive]] = {name: [] for name in contestants}
    for fold in cut.folds:
        for name, forecast in contestants.items():
            said[name].append(forecast(fold))
    origins = np.concatenate([np.arange(fold.test.start, fold.test.stop) for fold in cut.folds])
    return Backtest(
        field=field,
        sessions=next_sessions[origins],
        origins=origins,
        last_value=values[origins],
        actual=targets[origins],
        contestants={name: concatenate(parts) for name, parts in said.items()},
        protocol=cut.protocol,
    )
