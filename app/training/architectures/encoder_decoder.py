"""Sequence to sequence."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec
from app.training.architectures.registry import architecture


@architecture("encoder_decoder")
def encoder_decoder(window: KerasTensor, spec: NetworkSpec) -> KerasTensor:
    """One LSTM reads the window into a state, another writes a state a step from it, ``(batch, horizon, units)``."""
    summary = layers.LSTM(spec.units[0], activation=spec.activation)(window)
    repeated = layers.RepeatVector(spec.horizon)(summary)
    return layers.LSTM(spec.units[0], activation=spec.activation, return_sequences=True)(repeated)
