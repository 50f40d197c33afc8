"""Displayed bands that learn from what came: adaptive conformal inference over any predictive distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The levels whose bands are kept with every forecast, in percent; those between are interpolated.
LEVELS = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0)

GAMMA = 0.005
WINDOW = 250  # scored sessions
FEWEST_SCORES = 60
LARGEST = 99.99  # percent: wider than anything seen is said by no finite band


def shown_levels(pits: Floats, levels: Sequence[float]) -> Floats:
    """Return the effective level that is displayed at each session for each of ``levels``, ``(n, levels)``.

    ``pits`` ``(n,)`` are the probability integral transforms of one series, oldest first, NaN where nothing came to
    be scored, as of a session to come; ``levels`` and what is returned are in percent, ``levels`` rising. The band to
    display is the central one at the effective level: from the ``(1 - level) / 2`` to the ``(1 + level) / 2`` quantile.
    A row knows the sessions before it alone. A PIT lies inside its band where ``nonconformity(pit) <= level``.

    Adaptive conformal inference (Gibbs and Candès, 2021, https://arxiv.org/abs/2106.00170): the level is the
    ``1 - alpha_t`` quantile of the nonconformity of the last 250 scored sessions, and ``alpha_t`` moves by 0.005 x
    (``alpha`` - miss). With fewer than 60 scores it is the level itself.
    """
    nominal = np.asarray(levels, dtype=np.float64)
    scores = nonconformity(pits)
    shown = np.empty((len(scores), len(nominal)))
    alpha = target = 1.0 - nominal / 100.0
    ceiling = np.maximum(nominal, LARGEST)
    seen, count = np.empty(len(scores)), 0
    for row in range(len(shown)):
        adapts = count >= FEWEST_SCORES
        # Shown together, so a higher level never has the narrower band; and judged as shown.
        effective = _quantiles(seen[max(count - WINDOW, 0) : count], 1.0 - alpha) if adapts else nominal
        shown[row] = np.maximum.accumulate(np.minimum(effective, ceiling))
        if not np.isfinite(scores[row]):
            continue
        if adapts:
            alpha = alpha + GAMMA * (target - (scores[row] > shown[row]))
        seen[count] = scores[row]
        count += 1
    return shown


def nonconformity(pits: Floats) -> Floats:
    """Return the level, in percent, of the central interval that just reaches what came: 0 at the median."""
    return np.asarray(100.0 * np.abs(2.0 * pits - 1.0))


def _quantiles(values: Floats, p: Floats) -> Floats:
    """Return the ``p``-quantiles of ``values`` by linear interpolation; ``p`` beyond 0 and 1 are the ends."""
    # What numpy.quantile does, without the checks that cost ten times as much.
    return np.interp(p * (len(values) - 1), np.arange(len(values)), np.sort(values))
