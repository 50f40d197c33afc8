"""Layers that look at neighbours in time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.training.onnx_graph.graph import Call, Graph, activated

Numbers = NDArray[np.float32]


def causal_convolution(graph: Graph, call: Call) -> str:
    """``(batch, time, columns)`` becomes ``(batch, time, filters)``; zeros stand before the first bar."""
    layer = call.operation
    kernel, bias = layer.get_weights()
    weights = [_kernel(graph, kernel), graph.floats(bias)]
    said = graph.add("Conv", [_time_last(graph, call.inputs[0]), *weights], pads=[len(kernel) - 1, 0])
    return activated(graph, _time_last(graph, said), layer.activation)


def max_pooling(graph: Graph, call: Call) -> str:
    """``(batch, time, columns)`` keeps the largest of neighbours in time; what is left over at the end is dropped."""
    layer = call.operation
    values = _time_last(graph, call.inputs[0])
    return _time_last(graph, graph.add("MaxPool", [values], kernel_shape=layer.pool_size, strides=layer.strides))


def convolutional_lstm(graph: Graph, call: Call) -> str:
    """``(batch, blocks, block, columns)`` becomes the last state, ``(batch, block, filters)``.

    ONNX has no operator for it, and there are few blocks: each is written out. What the gates see of the blocks is
    computed for all at once, what they see of the state before block by block.
    """
    layer = call.operation
    blocks, block, columns = call.shape
    kernel, recurrent_kernel, bias = layer.get_weights()
    flat = graph.add("Reshape", [call.inputs[0], graph.integers([-1, block, columns])])
    weights = [_kernel(graph, kernel), graph.floats(bias)]
    seen = graph.add("Conv", [_time_last(graph, flat), *weights], pads=_both_sides(kernel))
    seen = graph.add("Reshape", [seen, graph.integers([-1, blocks, len(bias), block])])

    by_state, pads = _kernel(graph, recurrent_kernel), _both_sides(recurrent_kernel)
    state = memory = ""
    for step in range(blocks):
        gates = graph.add("Gather", [seen, graph.integers(step)], axis=1)
        if state:
            gates = graph.add("Add", [gates, graph.add("Conv", [state, by_state], pads=pads)])
        state, memory = _next_state(graph, gates, memory, layer)
    return _time_last(graph, state)


def _next_state(graph: Graph, gates: str, memory: str, layer: Any) -> tuple[str, str]:
    """Return state and memory after ``gates`` ``(batch, 4 filters, block)``; before the first block there is none."""
    gate = layer.recurrent_activation
    enters, stays, new, leaves = (
        activated(graph, _channels(graph, gates, place * layer.filters, layer.filters), activation)
        for place, activation in enumerate((gate, gate, layer.activation, gate))
    )
    entered = graph.add("Mul", [enters, new])
    memory = graph.add("Add", [graph.add("Mul", [stays, memory]), entered]) if memory else entered
    return graph.add("Mul", [leaves, activated(graph, memory, layer.activation)]), memory


def _channels(graph: Graph, values: str, start: int, count: int) -> str:
    return graph.add("Slice", [values, *(graph.integers([limit]) for limit in (start, start + count, 1))])


def _both_sides(kernel: Numbers) -> list[int]:
    """The zeros before and behind that let a block keep its length."""
    return [(len(kernel) - 1) // 2, len(kernel) // 2]


def _kernel(graph: Graph, kernel: Numbers) -> str:
    """Keep Keras' ``(width, columns, filters)`` as ``(filters, columns, width)``."""
    return graph.floats(kernel.transpose(2, 1, 0))


def _time_last(graph: Graph, values: str) -> str:
    """Swap time and columns: ONNX convolves and pools along the last axis. Twice is the order that it was."""
    return graph.add("Transpose", [values], perm=[0, 2, 1])
