"""Recurrent layers: each is one ONNX operator over the whole sequence, no loop of single steps.

Keras and ONNX compute the same gates in another order; the formulas are those of
https://onnx.ai/onnx/operators/onnx__LSTM.html, ``onnx__GRU`` and ``onnx__RNN``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

from app.training.onnx_graph.graph import Call, Graph, onnx_activation

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class _Kind:
    """An ONNX operator, where in Keras' weights its gates stand, and what Keras calls its activations."""

    operator: str
    gates: tuple[int, ...]
    activations: tuple[str, ...]


_KINDS: dict[type[layers.Layer], _Kind] = {
    layers.LSTM: _Kind(
        "LSTM", (0, 3, 1, 2), ("recurrent_activation", "activation", "activation")
    ),  # i f c o -> i o f c
    layers.GRU: _Kind("GRU", (0, 1, 2), ("recurrent_activation", "activation")),  # z r h
    layers.SimpleRNN: _Kind("RNN", (0,), ("activation",)),
}


def recurrent(graph: Graph, call: Call) -> str:
    """``(batch, time, columns)`` becomes the last state ``(batch, units)``, or every one, ``(batch, time, units)``."""
    layer = call.operation
    reading = _Reading(_KINDS[type(layer)], [layer], [layer.get_weights()])
    if not layer.return_sequences:
        return graph.add("Squeeze", [_read(graph, call.inputs[0], reading), graph.integers([0])])
    states = graph.add("Squeeze", [_read(graph, call.inputs[0], reading, every_state=True), graph.integers([1])])
    return graph.add("Transpose", [states], perm=[1, 0, 2])


def bidirectional(graph: Graph, call: Call) -> str:
    """``(batch, time, columns)`` becomes the last states of both directions side by side, ``(batch, 2 units)``."""
    both = [call.operation.forward_layer, call.operation.backward_layer]
    reading = _Reading(_KINDS[type(both[0])], both, [layer.get_weights() for layer in both])
    states = graph.add("Transpose", [_read(graph, call.inputs[0], reading)], perm=[1, 0, 2])
    return graph.add("Reshape", [states, graph.integers([-1, 2 * both[0].units])])


@dataclass(frozen=True, eq=False)
class _Reading:
    """Layers that read one sequence, forward and then backward, with Keras' kernel, recurrent kernel and bias each."""

    kind: _Kind
    layers: Sequence[Any]
    weights: Sequence[Sequence[Numbers]]


def _read(graph: Graph, sequence: str, reading: _Reading, *, every_state: bool = False) -> str:
    """Return the last states, ``(directions, batch, units)``, or all, ``(time, directions, batch, units)``."""
    kind = reading.kind
    packed = zip(*(_pack(*weights, gates=kind.gates) for weights in reading.weights), strict=True)
    inputs = [
        graph.add("Transpose", [sequence], perm=[1, 0, 2]),
        *(graph.floats(np.stack(arrays)) for arrays in packed),
    ]
    names = [onnx_activation(getattr(layer, of)) for layer in reading.layers for of in kind.activations]
    further: dict[str, Any] = {"linear_before_reset": 1} if kind.operator == "GRU" else {}
    # One number for each activation that has any: y = 1 x + 0.
    if lines := names.count("Affine"):
        further |= {"activation_alpha": [1.0] * lines, "activation_beta": [0.0] * lines}
    return graph.add(
        kind.operator,
        inputs,
        outputs=[] if every_state else [""],
        hidden_size=reading.weights[0][1].shape[0],
        direction="bidirectional" if len(reading.layers) == 2 else "forward",
        activations=names,
        **further,
    )


def _pack(kernel: Numbers, recurrent_kernel: Numbers, bias: Numbers, *, gates: tuple[int, ...]) -> tuple[Numbers, ...]:
    """Return what ONNX calls W, R and B: units in rows, gates in its order, one bias for each kernel.

    Only a GRU has both biases in Keras, as rows.
    """
    biases = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return (
        _in_order(kernel, gates).T,
        _in_order(recurrent_kernel, gates).T,
        _in_order(biases, gates).ravel(),
    )


def _in_order(array: Numbers, gates: tuple[int, ...]) -> Numbers:
    pieces = np.split(array, len(gates), axis=-1)
    return np.concatenate([pieces[gate] for gate in gates], axis=-1)
