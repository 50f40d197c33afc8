"""Networks at work: ONNX Runtime, and no other module imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.errors import CorruptArtifact

Numbers = NDArray[np.float32]

RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-5


class OnnxNetwork:
    """An exported network.

    One thread each: the networks are small, and a server answers many requests at once.

    Raises:
        CorruptArtifact: the bytes are no ONNX file.
    """

    def __init__(self, onnx: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        # The runtime raises a class of its own for every kind of damage.
        except Exception as error:
            raise CorruptArtifact("The network's ONNX file cannot be read.", reason=str(error)[:200]) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, windows: Numbers) -> Numbers:
        """Answer scaled ``windows`` ``(batch, window, columns)`` with ``(batch, horizon, params)``."""
        (outputs,) = self._session.run(None, {self._input: windows})
        return np.asarray(outputs, dtype=np.float32)


def same_answers(answers: Numbers, expected: Numbers) -> bool:
    """Whether two networks mean the same, up to the rounding of single precision."""
    return answers.shape == expected.shape and bool(
        np.allclose(answers, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE)
    )


def reproduces(network: OnnxNetwork, golden: Mapping[str, Any]) -> bool:
    """Whether ``network`` answers the ``golden`` sample's ``window`` with its ``outputs``."""
    window, outputs = (np.array([golden[name]], np.float32) for name in ("window", "outputs"))
    return same_answers(network.run(window), outputs)
