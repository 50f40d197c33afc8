"""Rows of features become the windows that a network reads."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from app.dataset.scaling import Scaler
from app.domain.spec import NetworkSpec
from app.errors import NotEnoughHistory

Floats = NDArray[np.float64]
Windows = NDArray[np.float32]
Origins = NDArray[np.intp]

OUTLIER = 8.0


def network_inputs(features: Floats, origins: Origins, *, scaler: Scaler, spec: NetworkSpec) -> Windows:
    """Return the scaled windows that end at ``origins``, ``(origins, window, columns)``.

    ``features`` is ``(bars, columns)`` unscaled. Networks of returns see outliers cut at 8; a price may outgrow its
    scaler and has to be seen as it is.

    Raises:
        NotEnoughHistory: a window would begin before the first bar; bring ``need`` bars.
    """
    rows = scaler.transform(features)
    if spec.target.transform == "log_return" and scaler.kind != "minmax":
        rows = np.clip(rows, -OUTLIER, OUTLIER)
    return make_windows(rows, origins, window=spec.window)


def make_windows(rows: Floats, origins: Origins, *, window: int) -> Windows:
    """Cut from ``rows`` ``(bars, columns)`` the ``window`` rows up to and including each origin.

    Returns float32 ``(origins, window, columns)``, oldest row first.

    Raises:
        NotEnoughHistory: a window would begin before the first bar; bring ``need`` bars.
    """
    first = int(origins.min()) + 1 if len(origins) else window
    if len(rows) < window or first < window:
        detail = f"A window holds {window} bars."
        raise NotEnoughHistory(detail, have=min(len(rows), first), need=window)
    windows = sliding_window_view(rows, window, axis=0)[origins - window + 1]
    return np.ascontiguousarray(windows.swapaxes(1, 2), dtype=np.float32)
