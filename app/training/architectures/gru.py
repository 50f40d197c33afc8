"""Gated recurrent units."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec
from app.training.architectures.registry import architecture
from app.training.architectures.stack import recurrent_stack


@architecture("gru", recurrent=layers.GRU)
def gru(window: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """As the LSTM, with a quarter fewer weights."""
    return recurrent_stack(window, spec, layer)
