"""Columns brought to a common size, reversibly, with numbers that JSON keeps exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scaler:
    """Per-column scaling, bit for bit scikit-learn's.

    ``minmax``: ``x * scale + center``; ``standard`` and ``robust``: ``(x - center) / scale``. ``center`` and
    ``scale`` are ``(columns,)``. ``low`` and ``high`` are the ends of what it was fitted on, where that is known.
    """

    kind: str
    center: Floats
    scale: Floats
    low: Floats | None = None
    high: Floats | None = None

    def transform(self, rows: Floats) -> Floats:
        """Scale ``rows`` ``(rows, columns)``."""
        return rows * self.scale + self.center if self.kind == "minmax" else (rows - self.center) / self.scale

    def inverse(self, rows: Floats) -> Floats:
        """Undo ``transform``."""
        return (rows - self.center) / self.scale if self.kind == "minmax" else rows * self.scale + self.center

    def outside(self, rows: Floats) -> NDArray[np.bool_]:
        """Tell of each column of ``rows`` ``(rows, columns)`` whether it leaves what was fitted on, ``(columns,)``."""
        if self.low is None or self.high is None:
            return np.zeros(rows.shape[1], dtype=np.bool_)
        return np.asarray(((rows < self.low) | (rows > self.high)).any(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Return the scaler JSON-ready; ``from_dict`` is its exact inverse."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return {"kind": self.kind, **{name: array.tolist() for name, array in arrays.items() if array is not None}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scaler:
        """Read back what ``to_dict`` wrote."""
        return cls(data["kind"], **{name: np.array(data[name], np.float64) for name in _ARRAYS if name in data})


_ARRAYS = ("center", "scale", "low", "high")


def fit_scaler(kind: str, rows: Floats) -> Scaler:
    """Fit a ``minmax``, ``standard`` or ``robust`` scaler on ``rows`` ``(rows, columns)``; scale 1 where constant."""
    # Serving applies scalers and never fits one: it does without scikit-learn and its memory.
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    ends = rows.min(axis=0), rows.max(axis=0)
    if kind == "minmax":
        minmax = MinMaxScaler().fit(rows)
        return Scaler(kind, minmax.min_, minmax.scale_, *ends)
    if kind == "robust":
        robust = RobustScaler().fit(rows)
        return Scaler(kind, robust.center_, robust.scale_, *ends)
    standard = StandardScaler().fit(rows)
    return Scaler(kind, standard.mean_, standard.scale_, *ends)


@dataclass(frozen=True, eq=False)
class Spread:
    """How far one target's values ended from what was named: a Student-t per step around it.

    ``scale`` counts in units of the volatility known at the origin times √k, for a distribution head that is fed
    back in units of the scale that it answers for the first step; both arrays are ``(horizon,)``.
    """

    scale: Floats
    df: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return the spread JSON-ready; ``from_dict`` is its exact inverse."""
        return {"scale": self.scale.tolist(), "df": self.df.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Spread:
        """Read back what ``to_dict`` wrote."""
        return cls(np.array(data["scale"], np.float64), np.array(data["df"], np.float64))


@dataclass(frozen=True, eq=False, kw_only=True)
class Scaling:
    """Everything fitted beside the weights: without it the network's numbers mean nothing.

    ``target`` is there for ``price`` targets, one column each. ``spreads``, one a target, are there where the
    network does not answer the spread of every step itself: for point heads and for steps that are fed back.
    """

    features: Scaler
    target: Scaler | None = None
    spreads: tuple[Spread, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the scaling JSON-ready; ``from_dict`` is its exact inverse."""
        return {
            "features": self.features.to_dict(),
            "target": self.target and self.target.to_dict(),
            "spreads": [spread.to_dict() for spread in self.spreads],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scaling:
        """Read back what ``to_dict`` wrote."""
        target = data["target"]
        return cls(
            features=Scaler.from_dict(data["features"]),
            target=Scaler.from_dict(target) if target else None,
            spreads=tuple(Spread.from_dict(spread) for spread in data["spreads"]),
        )
