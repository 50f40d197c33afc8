"""Folds x contestants: what each would have said at every out-of-sample session, beside what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.distribution import Predictive
from app.evaluation.splits import Split

Floats = NDArray[np.float64]

#: The network; who says no change, by whom points are measured; who says no change as wide as lately, by whom
#: distributions are.
MODEL, PERSISTENCE, BASELINE = "model", "persistence", "ewma_t"


@dataclass(frozen=True, eq=False, kw_only=True)
class Backtest:
    """Out-of-sample forecasts of one field by all contestants, one row an origin, oldest first.

    ``sessions`` ``(n,)`` are the target sessions of step 1, ``origins`` ``(n,)`` the rows that were last known,
    ``last_value`` ``(n,)`` the field there. ``actual`` ``(n, horizon)`` are log returns from it, NaN where the
    future is not known. ``contestants`` maps ``model``, ``persistence``, ``ewma_t`` and so on to what they said.
    ``usual_change`` ``(n,)`` is the mean absolute change from row to session in the training part, in price units.
    ``range_variance`` ``(n,)`` is the variance of the target session by its range, ``None`` where there are no ranges.
    """

    field: str
    sessions: NDArray[np.datetime64]
    origins: NDArray[np.intp]
    last_value: Floats
    actual: Floats
    contestants: Mapping[str, Predictive]
    usual_change: Floats
    protocol: Mapping[str, Any]
    range_variance: Floats | None = None

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def residuals(self) -> Floats:
        """How far the model's location was off, ``(n, horizon)`` in log returns, NaN where the future is not known."""
        return self.actual - self.contestants[MODEL].location


def backtest(
    cut: Split,
    contestants: Mapping[str, Predictive],
    *,
    field: str,
    next_sessions: NDArray[np.datetime64],
    values: Floats,
    targets: Floats,
    range_variance: Floats | None = None,
) -> Backtest:
    """Set what ``contestants`` said at the test origins of all folds beside what came.

    ``next_sessions`` and ``values`` ``(rows,)``, ``targets`` ``(rows, horizon)`` and ``range_variance`` ``(rows,)``, of
    the session after each row, cover the whole history; they are read at the test origins, to write down what came,
    and in the training parts for the usual change.
    """
    origins = cut.tested
    changes = np.abs(values * np.expm1(targets[:, 0]))
    usual = [np.full(len(fold.test), np.mean(changes[fold.train.start : fold.train.stop])) for fold in cut.folds]
    return Backtest(
        field=field,
        sessions=next_sessions[origins],
        origins=origins,
        last_value=values[origins],
        actual=targets[origins],
        contestants=dict(contestants),
        usual_change=np.concatenate(usual),
        protocol=cut.protocol,
        range_variance=None if range_variance is None else range_variance[origins],
    )


def origins_of(said: Predictive, rows: NDArray[np.intp]) -> Predictive:
    """Return only the distributions in ``rows``, in their order."""
    return replace(said, **{part.name: getattr(said, part.name)[rows] for part in fields(said)})


def steps_of(said: Predictive, steps: Sequence[int]) -> Predictive:
    """Return only the ``steps``, counted from 0, of every distribution."""
    return replace(said, **{part.name: getattr(said, part.name)[:, steps] for part in fields(said)})
