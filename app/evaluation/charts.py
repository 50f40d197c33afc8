"""True against predicted, in columns that a chart takes as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.distribution import Predictive
from app.evaluation.backtest import BASELINE, MODEL, PERSISTENCE, Backtest, steps_of
from app.evaluation.metrics import crps

Floats = NDArray[np.float64]
Columns = dict[str, list[Any]]

_LINES: Mapping[str, float] = {
    "predicted": 0.5,
    "lower_80": 0.1,
    "upper_80": 0.9,
    "lower_95": 0.025,
    "upper_95": 0.975,
}


def predictions(played: Sequence[Backtest]) -> Columns:
    """Return the model's step-1 forecasts out of sample beside what came, JSON-ready.

    ``pit`` is the probability integral transform of what came, which calibrates displayed bands. ``crps`` is each
    session's loss in log-return units: what a later challenger is compared with. Targets beyond the
    first add a pair of columns each.
    """
    lead = played[0]
    columns = one_step(lead.sessions, lead.last_value, lead.actual, lead.contestants[MODEL])
    columns["pit"] = _known(steps_of(lead.contestants[MODEL], [0]).cdf(lead.actual[:, :1])[:, 0])
    for column, name in (("crps", MODEL), ("crps_persistence", PERSISTENCE), (f"crps_{BASELINE}", BASELINE)):
        columns[column] = crps(steps_of(lead.contestants[name], [0]), lead.actual[:, :1])[:, 0].tolist()
    for other in played[1:]:
        more = one_step(other.sessions, other.last_value, other.actual, other.contestants[MODEL])
        columns |= {f"{other.field}_{name}": more[name] for name in ("actual", "predicted")}
    return columns


def one_step(sessions: NDArray[np.datetime64], last_value: Floats, actual: Floats, said: Predictive) -> Columns:
    """Return the first steps in prices, a row an origin: ``sessions`` and ``last_value`` ``(n,)``, log returns else."""
    first = steps_of(said, [0])
    lines = {name: last_value * np.exp(first.quantile(p)[:, 0]) for name, p in _LINES.items()}
    columns = {"last_value": last_value, "actual": last_value * np.exp(actual[:, 0]), **lines}
    return {"session": sessions.astype(str).tolist(), **{name: _known(values) for name, values in columns.items()}}


def nothing_fitted() -> Columns:
    """Return the columns of ``one_step`` without a row: the network has not learnt from this ticker."""
    return {name: [] for name in ("session", "last_value", "actual", *_LINES)}


def path(lead: Backtest, sessions: NDArray[np.datetime64]) -> Columns:
    """Return all steps of the first forecast out of sample, a row a step; ``sessions`` are all that the ticker has."""
    horizon, value = lead.actual.shape[1], lead.last_value[0]
    start = int(np.searchsorted(sessions, lead.sessions[0]))
    days: list[str | None] = sessions[start : start + horizon].astype(str).tolist()
    lines = {name: value * np.exp(lead.contestants[MODEL].quantile(p)[0]) for name, p in _LINES.items()}
    return {
        "step": list(range(1, horizon + 1)),
        "session": days + [None] * (horizon - len(days)),
        "actual": _known(value * np.exp(lead.actual[0])),
        **{name: _known(values) for name, values in lines.items()},
    }


def _known(values: Floats) -> list[float | None]:
    """Return the numbers as JSON has them: nothing for what is not known."""
    return [float(value) if np.isfinite(value) else None for value in values]
