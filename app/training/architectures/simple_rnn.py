"""Plain recurrence."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec
from app.training.architectures.registry import architecture
from app.training.architectures.stack import recurrent_stack


@architecture("simple_rnn", recurrent=layers.SimpleRNN)
def simple_rnn(window: KerasTensor, spec: NetworkSpec, layer: type[layers.Layer]) -> KerasTensor:
    """No gates: what the gated networks must beat."""
    return recurrent_stack(window, spec, layer)
