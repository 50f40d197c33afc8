"""The layers of our own: what is said of each step, and the mean of several networks."""

from __future__ import annotations

import numpy as np

from app.domain.student_t import LOWEST_DF
from app.training.architectures.heads import FIRST_LOG_SCALE
from app.training.onnx_graph.graph import Call, Graph

_LOG_BOUND = 5.0  # that of StudentT, either way


def student_t(graph: Graph, call: Call) -> str:
    """Log scales ``(batch, numbers)`` become ``(batch, numbers, 3)``, as in ``StudentT``."""
    drift, df_excess = call.operation.get_weights()
    growth = np.sqrt(np.arange(1, len(df_excess) // len(drift) + 1, dtype=np.float32))
    df = np.float32(LOWEST_DF) + np.exp(np.clip(df_excess, -_LOG_BOUND, _LOG_BOUND))

    shifted = graph.add("Add", [call.inputs[0], graph.floats(FIRST_LOG_SCALE)])
    log_scale = graph.add("Clip", [shifted, graph.floats(-_LOG_BOUND), graph.floats(_LOG_BOUND)])
    location = graph.add("Mul", [graph.add("Exp", [log_scale]), graph.floats(np.outer(drift, growth).ravel())])
    every_df = graph.add("Expand", [graph.floats(df), graph.add("Shape", [log_scale])])
    columns = [graph.add("Unsqueeze", [part, graph.integers([-1])]) for part in (location, log_scale, every_df)]
    return graph.add("Concat", columns, axis=-1)


def mean_forecast(graph: Graph, call: Call) -> str:
    """Answers ``(batch, numbers, params)`` become their mean as in ``MeanForecast``, of tails that of ``1 / df``."""
    mean = graph.add("Mean", call.inputs)
    if call.shape[-1] == 1:
        return mean
    tails = [graph.add("Reciprocal", [_params(graph, said, 2, 3)]) for said in call.inputs]
    df = graph.add("Reciprocal", [graph.add("Mean", tails)])
    return graph.add("Concat", [_params(graph, mean, 0, 2), df], axis=-1)


def _params(graph: Graph, said: str, start: int, stop: int) -> str:
    return graph.add("Slice", [said, *(graph.integers([limit]) for limit in (start, stop, -1))])
