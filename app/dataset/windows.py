"""Rows of features become the windows that a network reads."""

from __future__ import annotations

from typing import Any

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

    ``features`` is ``(rows, columns)`` unscaled.

    Raises:
        NotEnoughHistory: a window would begin before the first row; bring ``need`` rows.
    """
    return make_windows(scaled(features, scaler=scaler, spec=spec), origins, window=spec.window)


def scaled(rows: Floats, *, scaler: Scaler, spec: NetworkSpec) -> Windows:
    """Scale ``rows`` ``(..., columns)`` as the network of ``spec`` reads them.

    Networks of returns see outliers cut at 8; a price may outgrow its scaler and has to be seen as it is.
    """
    numbers = scaler.transform(rows)
    if spec.target.transform == "log_return" and scaler.kind != "minmax":
        numbers = np.clip(numbers, -OUTLIER, OUTLIER)
    return np.asarray(numbers, dtype=np.float32)


def make_windows(rows: NDArray[np.floating], origins: Origins, *, window: int) -> NDArray[Any]:
    """Cut from ``rows`` ``(rows, columns)`` the ``window`` rows up to and including each origin.

    Returns ``(origins, window, columns)``, oldest row first, of the same precision as ``rows``.

    Raises:
        NotEnoughHistory: a window would begin before the first row; bring ``need`` rows.
    """
    first = int(origins.min()) + 1 if len(origins) else window
    if len(rows) < window or first < window:
        detail = f"A window holds {window} bars."
        raise NotEnoughHistory(detail, have=min(len(rows), first), need=window)
    windows = sliding_window_view(rows, window, axis=0)[origins - window + 1]
    return np.ascontiguousarray(windows.swapaxes(1, 2))
