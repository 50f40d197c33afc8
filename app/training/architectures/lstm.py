"""The three plain LSTMs."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec
from app.training.architectures.registry import architecture
from app.training.architectures.stack import recurrent_stack


@architecture("lstm")
def lstm(window: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """The last state is the whole summary of the window."""
    return recurrent_stack(window, spec, layer)


@architecture("stacked_lstm")
def stacked_lstm(window: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """Every layer but the last passes its whole sequence on."""
    return recurrent_stack(window, spec, layer)


@architecture("bidirectional_lstm")
def bidirectional_lstm(window: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """Both directions inside the window, never past its end: nothing leaks."""
    return layers.Bidirectional(layer(spec.units[0], activation=spec.activation))(window)
