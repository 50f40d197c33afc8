"""Layers that look at neighbours in time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper

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

    ONNX has no operator for it, so this is the only loop. What the gates see of the blocks is computed for all at once.
    """
    layer = call.operation
    blocks, block, columns = call.shape
    kernel, recurrent_kernel, bias = layer.get_weights()
    flat = graph.add("Reshape", [call.inputs[0], graph.integers([-1, block, columns])])
    weights = [_kernel(graph, kernel), graph.floats(bias)]
    seen = graph.add("Conv", [_time_last(graph, flat), *weights], pads=_both_sides(kernel))
    seen = graph.add("Reshape", [seen, graph.integers([-1, blocks, len(bias), block])])

    newest = graph.add("Gather", [seen, graph.integers(-1)], axis=1)
    shape = graph.add("Shape", [_channels(graph, newest, 0, layer.filters)])
    nothing = graph.add("ConstantOfShape", [shape])
    body = _one_block(graph, layer, recurrent_kernel)
    inputs = [nothing, nothing, seen]
    memory = f"{seen}_memory"  # the first output, which nobody reads
    state = graph.add("Scan", inputs, outputs=[memory], body=body, num_scan_inputs=1, scan_input_axes=[1])
    return _time_last(graph, state)


def _one_block(graph: Graph, layer: Any, recurrent_kernel: Numbers) -> GraphProto:
    """The body of the loop: memory, state and what the gates see of a block become the next memory and state."""
    body = Graph(constants=graph.constants, prefix="block_")
    memory, state, seen = names = ("block_memory", "block_state", "block_seen")
    convolved = body.add("Conv", [state, _kernel(body, recurrent_kernel)], pads=_both_sides(recurrent_kernel))
    gates = body.add("Add", [seen, convolved])
    gate = layer.recurrent_activation
    enters, stays, new, leaves = (
        activated(body, _channels(body, gates, place * layer.filters, layer.filters), activation)
        for place, activation in enumerate((gate, gate, layer.activation, gate))
    )
    kept = body.add("Add", [body.add("Mul", [stays, memory]), body.add("Mul", [enters, new])])
    said = body.add("Mul", [leaves, activated(body, kept, layer.activation)])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (*names, kept, said)]
    return helper.make_graph(body.nodes, "block", values[:3], values[3:])


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
