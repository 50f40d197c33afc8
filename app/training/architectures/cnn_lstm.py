"""Convolution in front of an LSTM."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec
from app.training.architectures.registry import architecture

KERNEL = 3  # bars


@architecture("cnn_lstm")
def cnn_lstm(window: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """Causal convolution finds shapes, halved in time, then read in order."""
    shapes = layers.Conv1D(spec.units[0], KERNEL, padding="causal", activation="relu")(window)
    return layer(spec.units[0], activation=spec.activation)(layers.MaxPooling1D(2)(shapes))
