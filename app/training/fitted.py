"""A fitted network, with everything it needs to speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.dataset.decoding import answers, locations
from app.dataset.prepare import Dataset
from app.dataset.recursion import foretell, simulate_spreads
from app.dataset.scaling import Scaling, Spread
from app.dataset.windows import Origins
from app.domain.distribution import Predictive
from app.domain.spec import NetworkSpec
from app.domain.student_t import fit_spread
from app.training.curves import Curves
from app.training.learner import LearntNetwork

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]

BATCH = 1024  # windows answered at a time


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedNetwork:
    """A network and what was fitted beside it; ``curves`` has one entry a member and seed.

    The fit has learnt from the origins ``learnt``, has seen the sessions up to ``known_through`` and nothing later.
    """

    spec: NetworkSpec
    network: keras.Model | LearntNetwork
    scaling: Scaling
    curves: tuple[Curves, ...]
    learnt: Origins
    known_through: date

    @property
    def model(self) -> keras.Model:
        """The network as Keras has it."""
        return self.network.model if isinstance(self.network, LearntNetwork) else self.network

    def outputs(self, windows: Numbers) -> Numbers:
        """Answer scaled ``windows`` ``(batch, window, columns)`` with ``(batch, reach x targets, params)``."""
        model = self.network.lent() if isinstance(self.network, LearntNetwork) else self.network
        return _answers(model, windows)

    def predict(self, dataset: Dataset, origins: Origins, *, steps: int | None = None) -> tuple[Predictive, ...]:
        """Forecast from each of ``origins``, one distribution a target, ``(origins, horizon)``.

        What is fed back may end after ``steps``.
        """
        network = _compiled(self.model) if self.spec.strategy == "recursive" else self.outputs
        return foretell(network, dataset, origins, self.scaling, steps=steps)

    def seed_spread(self, dataset: Dataset, origins: Origins) -> float | None:
        """Return how far the averaged networks are apart, as a share of the volatility; ``None`` for one alone.

        Mean over ``origins`` of the standard deviation between networks, of the first step's 5, 50 or 95 % quantile,
        whichever differs most.
        """
        if isinstance(self.network, LearntNetwork):
            return None
        members = [layer for layer in self.model.layers if isinstance(layer, keras.Model)]
        if not members:
            return None
        said = [replace(self, network=member).predict(dataset, origins, steps=1)[0] for member in members]
        quantiles = np.stack([[one.quantile(p)[:, 0] for p in (0.05, 0.5, 0.95)] for one in said])
        usual = np.mean([one.volatility[:, 0] for one in said], axis=0)
        return float(np.mean(quantiles.std(axis=0).max(axis=0) / usual))


def with_spreads(
    network: FittedNetwork, dataset: Dataset, origins: Origins, residuals: Sequence[Floats]
) -> FittedNetwork:
    """Give the network the spreads that it does not answer itself.

    A point head takes them from its ``residuals`` at ``origins``, ``(origins, steps)`` in log returns, one array a
    target; of what is fed back only those of the first step count, and paths with such surprises tell the rest.
    A distribution head needs no ``residuals``.
    """
    spec = network.spec
    if spec.head == "point":
        spreads = tuple(
            Spread(*fit_spread(residual[:, : spec.reach], series.sigma[origins]))
            for residual, series in zip(residuals, dataset.series, strict=True)
        )
    elif spec.strategy == "recursive":
        spreads = _own_spreads(network, dataset, origins)
    else:
        return network
    if spec.strategy == "recursive":
        paths = _compiled(network.model)
        spreads = simulate_spreads(paths, dataset, origins, network.scaling, one_step=spreads, seed=spec.seed)
    return replace(network, scaling=replace(network.scaling, spreads=spreads))


def with_first_spreads(fitted: FittedNetwork, dataset: Dataset, origins: Origins) -> FittedNetwork:
    """Measure how far the network is off at ``origins``, of which it has not learnt where there are enough such."""
    if fitted.spec.head != "point":
        return with_spreads(fitted, dataset, origins, ())
    named = locations(answers(fitted.outputs, dataset, origins, fitted.scaling), dataset, origins, fitted.scaling)
    reach = fitted.spec.reach
    residuals = [s.targets[origins, :reach] - said for s, said in zip(dataset.series, named, strict=True)]
    return with_spreads(fitted, dataset, origins, residuals)


def _own_spreads(network: FittedNetwork, dataset: Dataset, origins: Origins) -> tuple[Spread, ...]:
    """The surprises that a distribution head expects, in units of the scale that it answers."""
    said = answers(network.outputs, dataset, origins[-1:], network.scaling)
    return tuple(Spread(np.ones(1), one[0, :1, 2]) for one in said)


def _answers(model: keras.Model, windows: Numbers) -> Numbers:
    # Calling the model needs no tracing; predict() would trace every network anew.
    parts = [model(windows[start : start + BATCH], training=False) for start in range(0, len(windows), BATCH)]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])


def _compiled(model: keras.Model) -> Any:
    """Trace the model once for any number of windows: what is fed back asks it hundreds of times."""
    shape = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    traced = tf.function(lambda windows: model(windows, training=False), input_signature=[shape])
    return lambda windows: np.asarray(traced(windows), dtype=np.float32)
