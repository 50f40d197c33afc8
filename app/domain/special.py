"""SciPy's special functions, imported at their first call: a process that starts should not wait for them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def stdtr(df: float | Floats, t: float | Floats) -> Floats:
    """Return the probability that a Student-t of ``df`` degrees of freedom is below ``t``."""
    return np.asarray(_scipy().stdtr(df, t))


def stdtrit(df: float | Floats, p: float | Floats) -> Floats:
    """Return the value below which a Student-t of ``df`` degrees of freedom is with probability ``p``."""
    return np.asarray(_scipy().stdtrit(df, p))


def gammaln(x: float | Floats) -> Floats:
    """Return the logarithm of the absolute value of the gamma function."""
    return np.asarray(_scipy().gammaln(x))


def load() -> None:
    """Import SciPy now, for who has nothing better to do."""
    _scipy()


@cache
def _scipy() -> Any:
    import scipy.special  # late: see above

    return scipy.special
