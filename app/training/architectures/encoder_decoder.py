"""Sequence to sequence."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec
from app.training.architectures.registry import architecture
from app.training.architectures.stack import recurrent_stack


@architecture("encoder_decoder")
def encoder_decoder(window: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """One LSTM reads the window into a state; whatever the strategy, another writes the steps from it."""
    return recurrent_stack(window, spec, layer)
