"""The second half of every encoder-decoder: from the state of a window to a state a step."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec


def write_steps(state: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """Read ``state`` ``(batch, units)`` once a step and write a state of each step, ``(batch, reach, units)``."""
    repeated = layers.RepeatVector(spec.reach)(state)
    return layer(spec.units[-1], activation=spec.activation, return_sequences=True)(repeated)
