"""Long short-term memory as one operation over all steps."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from app.training.kernels.sequence import Answers, Tensors, batch_first, takes_over, time_first


@keras.saving.register_keras_serializable("morrow")
class LSTM(layers.LSTM):
    """Keras' LSTM, same variables and same answers, with its loop over time inside one operation."""

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: list[tf.Tensor], mask: tf.Tensor | None, training: bool = False
    ) -> Answers:
        """Return the last answer ``(batch, units)``, all ``(batch, time, units)``, and both last states."""
        if not takes_over(self, mask):
            answers: Answers = super().inner_loop(sequences, initial_state, mask=mask, training=training)
            return answers
        hidden, memory = read_sequence(
            time_first(sequences, backwards=self.go_backwards),
            *initial_state,
            tf.concat([self.cell.kernel, self.cell.recurrent_kernel], axis=0),
            tf.convert_to_tensor(self.cell.bias),
        )
        return hidden[-1], batch_first(hidden), [hidden[-1], memory[-1]]


@tf.custom_gradient
def read_sequence(
    inputs: tf.Tensor, hidden: tf.Tensor, memory: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor
) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
    """Read ``inputs`` ``(time, batch, features)``, oldest first, from ``hidden`` and ``memory`` ``(batch, units)``.

    Returns hidden states and memories ``(time, batch, units)``. ``weights`` ``(features + units, 4 units)`` and
    ``bias`` ``(4 units,)`` hold the gates input, forget, cell, output: Keras' order and that of BlockLSTMV2.

    The gradient is written out because TensorFlow registers the one of BlockLSTM for BlockLSTMV2, and that has the
    gates in the order input, cell, forget, output: without a warning, what it returns is wrong.
    """
    no_peephole = tf.zeros_like(bias[: hidden.shape[-1]])
    arguments = {
        "seq_len_max": tf.shape(inputs, out_type=tf.int64)[0],
        "x": inputs,
        "cs_prev": memory,
        "h_prev": hidden,
        "w": weights,
        "b": bias,
        "wci": no_peephole,
        "wcf": no_peephole,
        "wco": no_peephole,
        "use_peephole": False,
    }
    states = tf.raw_ops.BlockLSTMV2(**arguments, cell_clip=0.0)

    def gradient(of_hidden: tf.Tensor, of_memory: tf.Tensor) -> Tensors:
        back = tf.raw_ops.BlockLSTMGradV2(**arguments, **states._asdict(), h_grad=of_hidden, cs_grad=of_memory)
        return back.x_grad, back.h_prev_grad, back.cs_prev_grad, back.w_grad, back.b_grad

    return (states.h, states.cs), gradient
