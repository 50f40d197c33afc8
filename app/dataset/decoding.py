"""What a network says becomes a distribution of log returns: one function for training and serving."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.dataset.prepare import Dataset
from app.dataset.scaling import Scaling
from app.dataset.targets import step_scale
from app.dataset.windows import Origins
from app.domain.distribution import Predictive
from app.domain.student_t import LOWEST_DF

Floats = NDArray[np.float64]
Outputs = NDArray[np.float32]

LOWEST_PRICE = 0.01  # of the last value: a network of prices may answer a negative one
LARGEST_MOVE = 50.0  # in units of volatility, or of its logarithm: keeps what a lost network says finite


def decode(outputs: Outputs, dataset: Dataset, origins: Origins, scaling: Scaling) -> Predictive:
    """Turn ``outputs`` ``(origins, horizon, params)`` of the windows at ``origins`` into their distributions.

    ``student_t`` heads answer location and log scale in units of volatility x √k, and degrees of freedom; point
    heads one number a step, a log return in these units or a scaled price, and take their spread from ``scaling``.
    """
    unit = step_scale(dataset.sigma[origins], dataset.spec.horizon)
    numbers = np.asarray(outputs, dtype=np.float64)
    if dataset.spec.head == "student_t":
        location = np.clip(numbers[..., 0], -LARGEST_MOVE, LARGEST_MOVE) * unit
        scale = np.exp(np.clip(numbers[..., 1], -LARGEST_MOVE, LARGEST_MOVE)) * unit
        return Predictive(location, scale, np.maximum(numbers[..., 2], LOWEST_DF))
    location = point_location(outputs, dataset, origins, scaling)
    if scaling.spread is None:
        raise TypeError("A point head has no distribution without a spread.")
    df = np.broadcast_to(np.maximum(scaling.spread.df, LOWEST_DF), unit.shape)
    return Predictive(location, scaling.spread.scale * unit, df)


def point_location(outputs: Outputs, dataset: Dataset, origins: Origins, scaling: Scaling) -> Floats:
    """Return the log returns that a point head's ``outputs`` ``(origins, horizon, 1)`` mean, ``(origins, horizon)``."""
    numbers = np.asarray(outputs, dtype=np.float64)[..., 0]
    if scaling.target is None:
        unit = step_scale(dataset.sigma[origins], dataset.spec.horizon)
        return np.asarray(np.clip(numbers, -LARGEST_MOVE, LARGEST_MOVE) * unit)
    ratio = scaling.target.inverse(numbers) / dataset.values[origins][:, None]
    return np.asarray(np.log(np.maximum(ratio, LOWEST_PRICE)))
