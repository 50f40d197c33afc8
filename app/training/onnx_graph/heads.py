"""The layers of our own: what is said of each step, and the mean of several networks."""

from __future__ import annotations

import numpy as np

from app.domain.student_t import LOWEST_DF
from app.training.architectures.heads import LADDER, LOG_BOUND, STUDENT_T_PARAMS
from app.training.onnx_graph.graph import Call, Graph


def student_t(graph: Graph, call: Call) -> str:
    """Log scales ``(batch, numbers)`` become ``(batch, numbers, 3)``, as in ``StudentT``."""
    drift, df_excess = call.operation.get_weights()
    df = np.float32(LOWEST_DF) + np.exp(np.clip(df_excess, -LOG_BOUND, LOG_BOUND))

    log_scale = _bounded(graph, call.inputs[0])
    location = graph.add("Mul", [graph.add("Exp", [log_scale]), graph.floats(_grown(drift, len(df_excess)))])
    every_df = graph.add("Expand", [graph.floats(df), graph.add("Shape", [log_scale])])
    columns = [graph.add("Unsqueeze", [part, graph.integers([-1])]) for part in (location, log_scale, every_df)]
    return graph.add("Concat", columns, axis=-1)


def quantiles(graph: Graph, call: Call) -> str:
    """Log scales ``(batch, numbers)`` and shifts ``(batch, numbers, 10)`` become quantiles, as in ``Quantiles``."""
    drift, gaps = call.operation.get_weights()
    log_scale, shifts = call.inputs

    scale = graph.add("Unsqueeze", [graph.add("Exp", [_bounded(graph, log_scale)]), graph.integers([-1])])
    apart = graph.add("Softplus", [graph.add("Add", [shifts, graph.floats(gaps)])])
    around = graph.add("MatMul", [apart, graph.floats(LADDER)])
    middle = graph.floats(_grown(drift, len(gaps))[:, None])
    return graph.add("Mul", [scale, graph.add("Add", [middle, around])])


def mean_forecast(graph: Graph, call: Call) -> str:
    """Answers ``(batch, numbers, params)`` become their mean as in ``MeanForecast``, of tails that of ``1 / df``."""
    mean = graph.add("Mean", call.inputs)
    if call.shape[-1] != STUDENT_T_PARAMS:
        return mean
    tails = [graph.add("Reciprocal", [_params(graph, said, 2, 3)]) for said in call.inputs]
    df = graph.add("Reciprocal", [graph.add("Mean", tails)])
    return graph.add("Concat", [_params(graph, mean, 0, 2), df], axis=-1)


def _bounded(graph: Graph, log_scale: str) -> str:
    return graph.add("Clip", [log_scale, graph.floats(-LOG_BOUND), graph.floats(LOG_BOUND)])


def _grown(drift: np.ndarray, numbers: int) -> np.ndarray:
    """The drift of each target and step, ``(numbers,)``."""
    growth = np.sqrt(np.arange(1, numbers // len(drift) + 1, dtype=np.float32))
    return np.outer(drift, growth).ravel()


def _params(graph: Graph, said: str, start: int, stop: int) -> str:
    return graph.add("Slice", [said, *(graph.integers([limit]) for limit in (start, stop, -1))])
