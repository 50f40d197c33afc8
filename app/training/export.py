"""A fitted network leaves TensorFlow: ONNX to serve it, plain arrays to fit on, one sample to prove it by."""

from __future__ import annotations

import io
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from app.dataset.prepare import Dataset
from app.dataset.windows import network_inputs
from app.errors import ParityFailed
from app.forecasting.runtime import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, OnnxNetwork, same_answers
from app.training.fitted import FittedNetwork
from app.training.onnx_graph import onnx_of

Numbers = NDArray[np.float32]

CHECKED_WINDOWS = 64


def export_onnx(network: FittedNetwork) -> bytes:
    """Return the network as an ONNX file that takes any number of windows at once."""
    return onnx_of(network.model)


def check_parity(network: FittedNetwork, onnx: bytes, dataset: Dataset) -> None:
    """Compare the exported with the trained network on the newest windows of ``dataset``.

    Raises:
        ParityFailed: they answer differently; the export must not be served.
    """
    windows = _newest_windows(network, dataset, CHECKED_WINDOWS)
    trained, exported = network.outputs(windows), OnnxNetwork(onnx).run(windows)
    if not same_answers(exported, trained):
        worst = float(np.max(np.abs(exported - trained))) if exported.shape == trained.shape else None
        raise ParityFailed(
            "The exported network answers differently from the trained one.",
            largest_difference=worst,
            relative_tolerance=RELATIVE_TOLERANCE,
            absolute_tolerance=ABSOLUTE_TOLERANCE,
        )


def golden_sample(network: FittedNetwork, dataset: Dataset) -> dict[str, Any]:
    """Return the newest window and the trained network's answer to it, JSON-ready: serving must reproduce it."""
    window = _newest_windows(network, dataset, 1)
    return {"window": window[0].tolist(), "outputs": network.outputs(window)[0].tolist()}


def weights_npz(network: FittedNetwork) -> bytes:
    """Return the weights as an ``.npz`` of plain arrays, in the order of the layers.

    No layer is named: Keras numbers layers by how many this process has made before.
    """
    buffer = io.BytesIO()
    names = [weight.name for weight in network.model.weights]
    arrays: dict[str, Any] = {
        f"{i:03d}.{name}": w for i, (name, w) in enumerate(zip(names, network.model.get_weights(), strict=True))
    }
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def restore_weights(model: keras.Model, data: bytes) -> None:
    """Give ``model``, built from the same spec, the weights that ``weights_npz`` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        model.set_weights([arrays[name] for name in sorted(arrays.files)])


def _newest_windows(network: FittedNetwork, dataset: Dataset, count: int) -> Numbers:
    origins = np.arange(max(dataset.first_origin, len(dataset) - count), len(dataset))
    return network_inputs(dataset.features, origins, scaler=network.scaling.features, spec=network.spec)
