"""Networks by name: a builder turns a window into a state, the shared head turns the state into a forecast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import KerasTensor, layers

from app.domain.catalogue import architecture_of
from app.domain.spec import NetworkSpec
from app.training.architectures.decoder import write_steps
from app.training.architectures.heads import forecast_head
from app.training.kernels import training_layer

Recurrent = type[layers.Layer]
Builder = Callable[[KerasTensor, NetworkSpec, Recurrent], KerasTensor]


@dataclass(frozen=True)
class Blueprint:
    """How windows are read, and the kind of recurrent layer that reads them and writes a decoder's steps."""

    builder: Builder
    recurrent: Recurrent


BUILDERS: dict[str, Blueprint] = {}


def build_network(spec: NetworkSpec, columns: int, *, seed: int | None = None, quick: bool = False) -> keras.Model:
    """Build the untrained network of ``spec``: ``(batch, window, columns)`` -> ``(batch, targets x reach, params)``.

    The answer is target-major: all steps of the first target, then all steps of the second. The same seed (the
    spec's own unless given) gives the same weights. Each member of an ensemble is built from its own spec. A ``quick``
    network has the same weights and answers, fits faster and is not for export.

    Raises:
        UnknownArchitecture: no network is built under that name; use one of those the error names.
    """
    blueprint = BUILDERS[architecture_of(spec.architecture).name]
    layer = training_layer(blueprint.recurrent, activation=spec.activation) if quick else blueprint.recurrent
    keras.utils.set_random_seed(spec.seed if seed is None else seed)
    window = keras.Input((spec.window, columns), name="window")
    state = blueprint.builder(window, spec, layer)
    if "encoder_decoder" in (spec.architecture, spec.strategy):
        state = write_steps(state, spec, layer)
    return keras.Model(window, forecast_head(window, state, spec), name=spec.architecture)


def architecture(name: str, *, recurrent: Recurrent = layers.LSTM) -> Callable[[Builder], Builder]:
    """Register a builder under ``name``, with its kind of ``recurrent`` layer.

    A builder maps ``(batch, window, columns)`` to a state ``(batch, units)``, by layers of the class it is given: the
    kind it was registered with, or the quick one that has the same weights.
    """

    def register(builder: Builder) -> Builder:
        BUILDERS[name] = Blueprint(builder, recurrent)
        return builder

    return register
