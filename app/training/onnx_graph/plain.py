"""Products, sums, and all that only moves numbers."""

from __future__ import annotations

import numpy as np

from app.training.onnx_graph.graph import Call, Graph, activated


def dense(graph: Graph, call: Call) -> str:
    """``(..., columns)`` times a matrix, plus a bias."""
    layer = call.operation
    values = graph.add("MatMul", [call.inputs[0], graph.floats(layer.kernel)])
    if layer.use_bias:
        values = graph.add("Add", [values, graph.floats(layer.bias)])
    return activated(graph, values, layer.activation)


def dropout(_: Graph, call: Call) -> str:
    """Nothing: it acts in training only."""
    return call.inputs[0]


def add(graph: Graph, call: Call) -> str:
    """Tensors of one shape, summed."""
    return graph.add("Sum", call.inputs)


def reshape(graph: Graph, call: Call) -> str:
    """The same numbers of each sample in another shape."""
    return graph.add("Reshape", [call.inputs[0], graph.integers([-1, *call.operation.target_shape])])


def flatten(graph: Graph, call: Call) -> str:
    """The numbers of each sample in one row."""
    return graph.add("Flatten", [call.inputs[0]])


def permute(graph: Graph, call: Call) -> str:
    """The axes behind the first in another order."""
    return graph.add("Transpose", [call.inputs[0]], perm=[0, *call.operation.dims])


def repeat(graph: Graph, call: Call) -> str:
    """``(batch, units)`` becomes ``(batch, steps, units)``."""
    once = graph.add("Unsqueeze", [call.inputs[0], graph.integers([1])])
    return graph.add("Tile", [once, graph.integers([1, call.operation.n, 1])])


def pick(graph: Graph, call: Call) -> str:
    """A part of a tensor, as ``[:, -1, :]`` or ``[:, -8:, :]`` name it."""
    (places,) = call.arguments
    values = call.inputs[0]
    # From behind, so that an axis that goes does not renumber one that is still to come.
    for axis, place in reversed(list(enumerate(places))):
        if isinstance(place, int):
            values = graph.add("Gather", [values, graph.integers(place)], axis=axis)
        elif place != slice(None):
            end = np.iinfo(np.int64).max if place.stop is None else place.stop
            limits = [graph.integers([limit]) for limit in (place.start or 0, end, axis, place.step or 1)]
            values = graph.add("Slice", [values, *limits])
    return values
