"""A growing ONNX graph, and a call of a Keras layer as its writer sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

# Every ONNX Runtime that the service may be installed with knows both.
OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """One use of a Keras operation.

    ``inputs`` names the tensors that it reads; ``shape`` is that of the first, without the batch.
    ``arguments`` are what it was called with beyond tensors.
    """

    operation: Any
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in the order in which they run, and the constants that they read.

    The body of a loop is a graph inside another: it shares the constants, and its ``prefix`` keeps its names apart.
    """

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    prefix: str = ""

    def floats(self, values: ArrayLike) -> str:
        """Keep ``values`` in single precision and return their name."""
        return self._keep(np.asarray(values, np.float32))

    def integers(self, values: ArrayLike) -> str:
        """Keep ``values``, which are sizes, axes or places, and return their name."""
        return self._keep(np.asarray(values, np.int64))

    def add(self, kind: str, inputs: Sequence[str], *, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Append a node of the ONNX operator ``kind`` and return the name of its last output.

        Names that are not wanted are given: ``outputs`` is for operators with several, where ``""`` leaves one out.
        """
        names = [*outputs, f"{self.prefix}{kind.lower()}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, names, name=names[-1], **attributes))
        return names[-1]

    def model(self, answer: str, *, window: tuple[str, Sequence[int]], forecast: tuple[str, Sequence[int]]) -> bytes:
        """Return the ONNX file that reads ``window`` and gives ``answer`` as ``forecast``.

        Both are a name and a shape, without the batch.
        """
        read, said = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
            for name, shape in (window, forecast)
        )
        nodes = [*self.nodes, helper.make_node("Identity", [answer], [forecast[0]])]
        graph = helper.make_graph(nodes, "network", [read], [said], self.constants)
        model: ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="morrow"
        )
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _keep(self, values: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name


Writer = Callable[[Graph, Call], str]


def activated(graph: Graph, values: str, activation: Callable[..., Any]) -> str:
    """Put Keras' ``activation`` over ``values``."""
    kind = onnx_activation(activation)
    return values if kind == "Affine" else graph.add(kind, [values])


def onnx_activation(activation: Callable[..., Any]) -> str:
    """Return what ONNX calls Keras' ``activation``; without any it is ``Affine``, which changes nothing as it is used.

    Raises:
        NotImplementedError: it has no name yet; add it here.
    """
    name = activation.__name__
    if name not in _ACTIVATIONS:
        raise NotImplementedError(f"No ONNX activation for {name!r}. Known: {', '.join(_ACTIVATIONS)}.")
    return _ACTIVATIONS[name]


_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "linear": "Affine"}
