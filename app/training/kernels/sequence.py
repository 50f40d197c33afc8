"""What the whole-sequence layers share: when they may take over, and sequences with time in front."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

Tensors = tuple[tf.Tensor, ...]
Answers = tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]  # the last answer, all answers, the last states


def takes_over(layer: layers.LSTM | layers.GRU, mask: tf.Tensor | None) -> bool:
    """Whether the formulas of the whole-sequence kernels are those of ``layer``: Keras' defaults, nothing masked."""
    cell = layer.cell
    return (
        mask is None
        and cell.activation is keras.activations.tanh
        and cell.recurrent_activation is keras.activations.sigmoid
        and cell.use_bias
        and not (cell.dropout or cell.recurrent_dropout or layer.unroll)
        and layer.compute_dtype == "float32"
    )


def time_first(sequences: tf.Tensor, *, backwards: bool) -> tf.Tensor:
    """Turn ``(batch, time, features)`` into ``(time, batch, features)``, in the order in which it is to be read."""
    sequences = tf.transpose(sequences, [1, 0, 2])
    return tf.reverse(sequences, [0]) if backwards else sequences


def batch_first(states: tf.Tensor) -> tf.Tensor:
    """Turn ``(time, batch, units)`` into ``(batch, time, units)``."""
    return tf.transpose(states, [1, 0, 2])
