"""Recurrent layers that answer a whole sequence at once, to train on a CPU in a fraction of the time."""

from __future__ import annotations

import tensorflow as tf
from keras import layers

from app.training.kernels.gru import GRU
from app.training.kernels.lstm import LSTM

_WHOLE_SEQUENCE: dict[type[layers.Layer], type[layers.Layer]] = {layers.LSTM: LSTM, layers.GRU: GRU}


def training_layer(stock: type[layers.Layer], *, activation: str) -> type[layers.Layer]:
    """Return the layer to train in the place of ``stock``: of the same arguments, weights and answers, but quicker.

    It is ``stock`` itself where nothing is quicker: other layers than LSTM and GRU, other activations than ``tanh``,
    and wherever a GPU is visible, which has kernels of its own. What is saved should be built from ``stock``:
    ``set_weights`` carries the weights over, inside ``Bidirectional`` too.
    """
    return _WHOLE_SEQUENCE.get(stock, stock) if outpaces_keras(activation) else stock


def outpaces_keras(activation: str) -> bool:
    """Whether recurrent layers of our own are quicker: of ``tanh``, unless a GPU is visible, which has its kernels."""
    return activation == "tanh" and not tf.config.get_visible_devices("GPU")


__all__ = ["outpaces_keras", "training_layer"]
