"""Recurrent layers on top of each other."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec


def recurrent_stack(window: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """Stack one ``layer`` a size in ``spec.units``: ``(batch, window, columns)`` -> the last state, ``(batch, units)``.

    Each has its own dropout behind it; that of the last is the head's.
    """
    sequence = window
    for units, rate in zip(spec.units[:-1], spec.dropouts[:-1], strict=True):
        sequence = layer(units, activation=spec.activation, return_sequences=True)(sequence)
        sequence = layers.Dropout(rate)(sequence)
    return layer(spec.units[-1], activation=spec.activation)(sequence)
