"""Networks by name: a builder turns a window into a state, the shared head turns the state into a forecast."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import KerasTensor

from app.domain.catalogue import architecture_of
from app.domain.spec import NetworkSpec
from app.training.architectures.heads import forecast_head

Builder = Callable[[KerasTensor, NetworkSpec], KerasTensor]

BUILDERS: dict[str, Builder] = {}


def build_network(spec: NetworkSpec, columns: int, *, seed: int | None = None) -> keras.Model:
    """Build the untrained network of ``spec``: ``(batch, window, columns)`` -> ``(batch, horizon, params)``.

    The same seed (the spec's own unless given) gives the same weights.

    Raises:
        UnknownArchitecture: no network is built under that name; use one of those the error names.
    """
    builder = BUILDERS[architecture_of(spec.architecture).name]
    keras.utils.set_random_seed(spec.seed if seed is None else seed)
    window = keras.Input((spec.window, columns), name="window")
    return keras.Model(window, forecast_head(window, builder(window, spec), spec), name=spec.architecture)


def architecture(name: str) -> Callable[[Builder], Builder]:
    """Register a builder under ``name``.

    A builder maps ``(batch, window, columns)`` to a state ``(batch, units)``, or to one state a step,
    ``(batch, horizon, units)``.
    """

    def register(builder: Builder) -> Builder:
        BUILDERS[name] = builder
        return builder

    return register
