"""What a network says becomes distributions of log returns: one function for training and serving."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.dataset.prepare import Dataset
from app.dataset.scaling import Scaler, Scaling
from app.dataset.targets import step_scale
from app.dataset.windows import Origins, Windows, network_inputs
from app.domain.distribution import Predictive, Quantiles, StudentT
from app.domain.student_t import LOWEST_DF

Floats = NDArray[np.float64]
Outputs = NDArray[np.float32]
Network = Callable[[Windows], Outputs]

LARGEST_RATIO = 100.0  # of a price to the last value, either way: a network of prices may answer a negative one
LARGEST_MOVE = 50.0  # in units of volatility, or of its logarithm: keeps what a lost network says finite


def answers(network: Network, dataset: Dataset, origins: Origins, scaling: Scaling) -> Floats:
    """Ask ``network`` about the windows at ``origins``; return ``(targets, origins, steps, params)``."""
    windows = network_inputs(dataset.features, origins, scaler=scaling.features, spec=dataset.spec)
    return by_target(network(windows), targets=len(dataset.series))


def by_target(outputs: Outputs, *, targets: int) -> Floats:
    """Part ``outputs`` ``(origins, targets x steps, params)`` into ``(targets, origins, steps, params)``."""
    numbers = np.asarray(outputs, dtype=np.float64)
    return numbers.reshape(len(numbers), targets, -1, numbers.shape[-1]).swapaxes(0, 1)


def decode(said: Floats, dataset: Dataset, origins: Origins, scaling: Scaling) -> tuple[Predictive, ...]:
    """Turn what the network ``said`` at ``origins``, as ``answers`` returns it, into one distribution a target.

    ``student_t`` heads answer location and log scale in units of volatility x √k, and degrees of freedom; ``quantiles``
    heads quantiles in these units; point heads one number a step, a log return in them or a scaled price, and take
    their spread from ``scaling``.
    """
    units = [step_scale(series.sigma[origins], said.shape[2]) for series in dataset.series]
    if dataset.spec.head == "quantiles":
        return tuple(_quantiles(one, unit) for one, unit in zip(said, units, strict=True))
    named = locations(said, dataset, origins, scaling)
    return tuple(
        _distribution(*parts, scaling, index) for index, parts in enumerate(zip(said, named, units, strict=True))
    )


def _quantiles(said: Floats, unit: Floats) -> Quantiles:
    # Where two of them are next to equal, single precision may have them the wrong way round.
    rising = np.maximum.accumulate(np.clip(said, -LARGEST_MOVE, LARGEST_MOVE), axis=-1)
    return Quantiles(rising * unit[..., None])


def _distribution(said: Floats, location: Floats, unit: Floats, scaling: Scaling, index: int) -> Predictive:
    if said.shape[-1] > 1:
        return StudentT(location, scale_of(said, unit), np.maximum(said[..., 2], LOWEST_DF))
    if not scaling.spreads:
        raise TypeError("A point head has no distribution without a spread.")
    spread = scaling.spreads[index]
    return StudentT(location, spread.scale * unit, np.broadcast_to(np.maximum(spread.df, LOWEST_DF), unit.shape))


def locations(said: Floats, dataset: Dataset, origins: Origins, scaling: Scaling) -> list[Floats]:
    """Return the log returns that the network named for each target, ``(origins, steps)``."""
    return [
        move(
            said[index],
            step_scale(series.sigma[origins], said.shape[2]),
            series.values[origins],
            target_scaler(scaling, index),
        )
        for index, series in enumerate(dataset.series)
    ]


def move(said: Floats, unit: Floats, values: Floats, scaler: Scaler | None) -> Floats:
    """Return the log returns from ``values`` ``(origins,)`` that ``said`` ``(origins, steps, params)`` means.

    ``unit`` ``(origins, steps)`` is the volatility x √k; with a ``scaler`` the network names scaled prices.
    """
    if scaler is None:
        return np.asarray(np.clip(said[..., 0], -LARGEST_MOVE, LARGEST_MOVE) * unit)
    ratio = scaler.inverse(said[..., 0]) / values[:, None]
    return np.asarray(np.log(np.clip(ratio, 1 / LARGEST_RATIO, LARGEST_RATIO)))


def scale_of(said: Floats, unit: Floats) -> Floats:
    """Return the t scales that a distribution head ``said`` ``(origins, steps, 3)``, ``(origins, steps)``."""
    return np.asarray(np.exp(np.clip(said[..., 1], -LARGEST_MOVE, LARGEST_MOVE)) * unit)


def target_scaler(scaling: Scaling, index: int) -> Scaler | None:
    """Return the scaler of the prices of one target, ``None`` where log returns are named."""
    if scaling.target is None:
        return None
    whole = scaling.target
    return Scaler(whole.kind, whole.center[index : index + 1], whole.scale[index : index + 1])
