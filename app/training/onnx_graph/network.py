"""From a Keras network to its ONNX file: every layer has a writer, and one that has none is an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, layers
from keras.src.ops.numpy import GetItem

from app.training.architectures.heads import MeanForecast, Quantiles, StudentT
from app.training.onnx_graph import convolutional, heads, plain
from app.training.onnx_graph.graph import Call, Graph, Writer
from app.training.onnx_graph.recurrent import bidirectional, recurrent

INPUT = "window"
OUTPUT = "forecast"

WRITERS: dict[type[Any], Writer] = {
    layers.LSTM: recurrent,
    layers.GRU: recurrent,
    layers.SimpleRNN: recurrent,
    layers.Bidirectional: bidirectional,
    layers.ConvLSTM1D: convolutional.convolutional_lstm,
    layers.Conv1D: convolutional.causal_convolution,
    layers.MaxPooling1D: convolutional.max_pooling,
    layers.Dense: plain.dense,
    layers.Dropout: plain.dropout,
    layers.Add: plain.add,
    layers.Reshape: plain.reshape,
    layers.Flatten: plain.flatten,
    layers.Permute: plain.permute,
    layers.RepeatVector: plain.repeat,
    GetItem: plain.pick,
    StudentT: heads.student_t,
    Quantiles: heads.quantiles,
    MeanForecast: heads.mean_forecast,
}


def onnx_of(model: keras.Model) -> bytes:
    """Return the ONNX file of a network with one input and one answer, for any number of windows at once.

    A writer knows its layer as the catalogue uses it; an option that no architecture sets is not looked at, so compare
    the file's answers with the network's before it is served.

    Raises:
        NotImplementedError: a layer or activation has no writer; give it one.
    """
    graph = Graph()
    answer = _write(graph, model, (INPUT,))
    return graph.model(answer, window=(INPUT, model.input_shape[1:]), forecast=(OUTPUT, model.output_shape[1:]))


def _write(graph: Graph, model: keras.Model, inputs: Sequence[str]) -> str:
    """Write the layers of ``model``, which reads the tensors named ``inputs``, and return the name of its answer."""
    names = {id(tensor): name for tensor, name in zip(model.inputs, inputs, strict=True)}

    def name_of(tensor: KerasTensor) -> str:
        if id(tensor) not in names:
            history = tensor._keras_history
            call = history.operation._inbound_nodes[history.node_index]
            names[id(tensor)] = _write_call(
                graph,
                Call(
                    operation=history.operation,
                    inputs=tuple(name_of(read) for read in call.input_tensors),
                    shape=call.input_tensors[0].shape[1:],
                    arguments=call.arguments.args[1:],
                ),
            )
        return names[id(tensor)]

    return name_of(model.outputs[0])


def _write_call(graph: Graph, call: Call) -> str:
    operation = call.operation
    if isinstance(operation, keras.Model):
        return _write(graph, operation, call.inputs)
    if type(operation) not in WRITERS:
        known = ", ".join(sorted(kind.__name__ for kind in WRITERS))
        raise NotImplementedError(
            f"No ONNX writer for {type(operation).__qualname__} {operation.name!r}. Known: {known}."
        )
    return WRITERS[type(operation)](graph, call)
