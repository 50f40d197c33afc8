"""Recurrent layers on top of each other."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec


def recurrent_stack(layer: type[layers.Layer], window: KerasTensor, spec: NetworkSpec) -> KerasTensor:
    """Stack one ``layer`` a size in ``spec.units``, dropout between: ``(batch, window, columns)`` -> last state."""
    sequence = window
    for units in spec.units[:-1]:
        sequence = layer(units, activation=spec.activation, return_sequences=True)(sequence)
        sequence = layers.Dropout(spec.dropout)(sequence)
    return layer(spec.units[-1], activation=spec.activation)(sequence)
