"""Has the world moved from what a version learnt? Its inputs, its residuals and its coverage, each with a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, kolmogorov

Floats = NDArray[np.float64]

TOO_FEW, OK, WARN, ALARM = "too_few", "ok", "warn", "alarm"

RECENT = 60  # sessions
BINS = 10
FEWEST_BLOCKS = 5
FEWEST_SCORES = 60
COVERAGE_LEVEL = 90
NAMED_COLUMNS = 3

#: Beyond these a sign warns or alarms: PSI as usual in credit scoring, p-values of tests that run every day.
PSI_LIMITS = {WARN: 0.1, ALARM: 0.25}
P_LIMITS = {WARN: 0.05, ALARM: 0.001}


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One sign of drift: ``value`` is a PSI or a p-value from ``n`` sessions, beside the ``limits`` it is held to.

    With fewer than ``need`` sessions the state is ``too_few`` and ``value`` ``None``.
    """

    name: str
    state: str
    measure: str
    value: float | None
    n: int
    need: int
    limits: Mapping[str, float]
    detail: Mapping[str, Any] = field(default_factory=dict)


def drift_of(signs: Sequence[Sign]) -> dict[str, Any]:
    """Return the worst state and all ``signs``, JSON-ready; signs of ``too_few`` sessions say nothing beside others."""
    worst = max((sign.state for sign in signs), key=(TOO_FEW, OK, WARN, ALARM).index, default=TOO_FEW)
    return {"state": worst, "signs": [asdict(sign) for sign in signs]}


def input_drift(learnt: Floats, recent: Floats, names: Sequence[str]) -> Sign:
    """Compare the columns ``names`` of the newest sessions, ``(n, columns)``, with what was ``learnt``.

    The population stability index of each column over deciles of what was learnt, averaged. Inputs stay high or low
    for weeks, so 60 sessions in a row never look like all: the index has to exceed its usual limit, and for a warning
    95 %, for an alarm all of the stretches of as many sessions that the version learnt from. ``worst`` names the
    columns that moved most, beside the index of each.
    """
    blocks = [learnt[start : start + RECENT] for start in range(0, len(learnt) - RECENT + 1, RECENT)]
    enough = len(blocks) >= FEWEST_BLOCKS and len(recent) >= RECENT
    limits, value, columns = dict(PSI_LIMITS), None, {}
    if enough:
        *usual, indices = stability(learnt, [*blocks, recent[-RECENT:]])
        means = np.mean(usual, axis=1)
        limits = {WARN: max(limits[WARN], float(np.quantile(means, 0.95))), ALARM: max(limits[ALARM], *means.tolist())}
        value = float(np.mean(indices))
        columns = dict(zip(names, indices.tolist(), strict=True))
    worst = sorted(columns, key=lambda name: -columns[name])[:NAMED_COLUMNS]
    return Sign(
        name="inputs",
        state=_beyond(value, limits),
        measure="psi",
        value=value,
        n=min(len(recent), RECENT),
        need=RECENT,
        limits=limits,
        detail={"columns": columns, "worst": [{"column": name, "psi": columns[name]} for name in worst]},
    )


def stability(learnt: Floats, stretches: Sequence[Floats]) -> Floats:
    """Return the population stability index of every column of each of ``stretches``, ``(stretches, columns)``.

    0 where a stretch is distributed as what was learnt. Sum over bins of (q - p) x log(q / p), p and q being the shares
    learnt and in the stretch, half a session added to each bin.
    """
    edges = np.quantile(learnt, np.arange(1, BINS) / BINS, axis=0)
    p = _shares(learnt, edges)
    q = np.array([_shares(stretch, edges) for stretch in stretches])
    return np.asarray(np.sum((q - p) * np.log(q / p), axis=1))


def residual_drift(pits: Floats) -> Sign:
    """Test whether the newest live PITs ``(n,)`` are uniform (Kolmogorov-Smirnov, asymptotic)."""
    n = len(pits)
    p = None
    if n >= FEWEST_SCORES:
        ranked = np.sort(pits)
        steps = np.arange(n + 1) / n
        p = float(kolmogorov(sqrt(n) * max(np.max(steps[1:] - ranked), np.max(ranked - steps[:-1]))))
    return _tested("residuals", "kolmogorov_smirnov_p", p, n)


def coverage_drift(pits: Floats) -> Sign:
    """Test whether the raw central 90 % interval held as often as it should (exact binomial, two-sided)."""
    n = len(pits)
    held = int(np.sum(np.abs(2 * pits - 1) <= COVERAGE_LEVEL / 100))
    share = COVERAGE_LEVEL / 100
    p = None
    if n >= FEWEST_SCORES:
        at_least = float(bdtrc(held - 1, n, share)) if held else 1.0
        p = min(1.0, 2 * min(float(bdtr(held, n, share)), at_least))
    detail = {"level": COVERAGE_LEVEL, "empirical": held / n if n else None}
    return _tested("coverage", "binomial_p", p, n, detail)


def _tested(name: str, measure: str, p: float | None, n: int, detail: Mapping[str, Any] | None = None) -> Sign:
    return Sign(
        name=name,
        # The smaller a p-value, the worse.
        state=_beyond(None if p is None else -p, {name: -limit for name, limit in P_LIMITS.items()}),
        measure=measure,
        value=p,
        n=n,
        need=FEWEST_SCORES,
        limits=P_LIMITS,
        detail=detail or {},
    )


def _beyond(value: float | None, limits: Mapping[str, float]) -> str:
    if value is None:
        return TOO_FEW
    return ALARM if value > limits[ALARM] else WARN if value > limits[WARN] else OK


def _shares(values: Floats, edges: Floats) -> Floats:
    """Return the share of ``values`` ``(n, columns)`` in each bin between the ``edges``, ``(bins, columns)``."""
    below = np.sum(values[None] < edges[:, None], axis=1)
    ends = np.full((1, values.shape[1]), len(values))
    counts = np.diff(below, axis=0, prepend=0, append=ends) + 0.5
    return np.asarray(counts / counts.sum(axis=0))
