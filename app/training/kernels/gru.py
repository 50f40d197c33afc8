"""Gated recurrent units: large products before and after the loop over time, and a compiled loop between."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from app.training.kernels.sequence import Answers, Tensors, batch_first, takes_over, time_first

# The loops are compiled anew for every size of a batch, which takes as long as many batches. The last batch of an epoch
# is of another size in every fold: those of fewer rows than this are filled up to a multiple, so that few sizes occur.
FILLED_UP_TO = 128
MULTIPLE = 32


@keras.saving.register_keras_serializable("morrow")
class GRU(layers.GRU):
    """Keras' GRU with ``reset_after``, same variables and same answers, with its loop over time compiled by XLA."""

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: list[tf.Tensor], mask: tf.Tensor | None, training: bool = False
    ) -> Answers:
        """Return the last answer ``(batch, units)``, all ``(batch, time, units)``, and the last state."""
        if not (takes_over(self, mask) and self.cell.reset_after):
            answers: Answers = super().inner_loop(sequences, initial_state, mask=mask, training=training)
            return answers
        batch = tf.shape(sequences)[0]
        missing = tf.where(batch < FILLED_UP_TO, -batch % MULTIPLE, 0)
        hidden = read_sequence(
            time_first(tf.pad(sequences, [[0, missing], [0, 0], [0, 0]]), backwards=self.go_backwards),
            tf.pad(initial_state[0], [[0, missing], [0, 0]]),
            tf.convert_to_tensor(self.cell.kernel),
            tf.convert_to_tensor(self.cell.recurrent_kernel),
            tf.convert_to_tensor(self.cell.bias),
        )[:, :batch]
        return hidden[-1], batch_first(hidden), [hidden[-1]]


@tf.custom_gradient
def read_sequence(
    inputs: tf.Tensor, hidden: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Any]:
    """Read ``inputs`` ``(time, batch, features)``, oldest first, from the state ``hidden`` ``(batch, units)``.

    Returns the states ``(time, batch, units)``. ``kernel`` ``(features, 3 units)``, ``recurrent`` ``(units, 3 units)``
    and ``bias`` ``(2, 3 units)``, of the inputs and of the states, hold update, reset and candidate. The steps, as in
    Keras (Cho et al. 2014, with the reset after the product)::

        update = sigmoid(x Wu + h Uu + bu)
        reset = sigmoid(x Wr + h Ur + br)
        candidate = tanh(x Wc + reset * (h Uc + bc))
        h = update * h + (1 - update) * candidate
    """
    units, features = recurrent.shape[0], kernel.shape[0]
    flat = tf.reshape(inputs, [-1, features])
    gate_bias = bias[0] + tf.pad(bias[1, : 2 * units], [[0, units]])
    projected = tf.nn.bias_add(tf.matmul(flat, kernel), gate_bias)
    projected = tf.reshape(projected, [*tf.unstack(tf.shape(inputs)[:2]), 3 * units])
    # The gradient below is all there is: an eager tape would else want to differentiate the compiled loop as well.
    given = (tf.stop_gradient(value) for value in (projected, hidden, recurrent, bias[1, 2 * units :]))
    states, *gates = _forward(*given)

    def gradient(of_states: tf.Tensor) -> Tensors:
        before = tf.concat([hidden[None], states[:-1]], axis=0)
        of_hidden, update, reset, product, candidate = _backward(of_states, before, recurrent, *gates)
        of_inputs = tf.reshape(tf.concat([update, reset, candidate], axis=-1), [-1, 3 * units])
        of_products = tf.reshape(tf.concat([update, reset, product], axis=-1), [-1, 3 * units])
        return (
            tf.reshape(tf.matmul(of_inputs, kernel, transpose_b=True), tf.shape(inputs)),
            of_hidden,
            tf.matmul(flat, of_inputs, transpose_a=True),
            tf.matmul(tf.reshape(before, [-1, units]), of_products, transpose_a=True),
            tf.stack([tf.reduce_sum(of_inputs, axis=0), tf.reduce_sum(of_products, axis=0)]),
        )

    return states, gradient


@tf.function(jit_compile=True, reduce_retracing=True)
def _forward(projected: tf.Tensor, hidden: tf.Tensor, recurrent: tf.Tensor, product_bias: tf.Tensor) -> Tensors:
    """Return states, updates, resets, products ``h Uc + bc`` and candidates, each ``(time, batch, units)``."""

    def step(time: tf.Tensor, hidden: tf.Tensor, *kept: tf.TensorArray) -> tuple[Any, ...]:
        x_update, x_reset, x_candidate = tf.split(projected[time], 3, axis=-1)
        h_update, h_reset, h_candidate = tf.split(tf.matmul(hidden, recurrent), 3, axis=-1)
        update, reset = tf.sigmoid(x_update + h_update), tf.sigmoid(x_reset + h_reset)
        product = h_candidate + product_bias
        candidate = tf.tanh(x_candidate + reset * product)
        hidden = candidate + update * (hidden - candidate)
        return time + 1, hidden, *_write(kept, time, (hidden, update, reset, product, candidate))

    steps = tf.shape(projected)[0]
    _, _, *kept = tf.while_loop(lambda time, *_: time < steps, step, (0, hidden, *_histories(5, steps, hidden)))
    return tuple(history.stack() for history in kept)


@tf.function(jit_compile=True, reduce_retracing=True)
def _backward(
    of_states: tf.Tensor,
    before: tf.Tensor,
    recurrent: tf.Tensor,
    updates: tf.Tensor,
    resets: tf.Tensor,
    products: tf.Tensor,
    candidates: tf.Tensor,
) -> Tensors:
    """Return the gradient of the first state ``(batch, units)``, then those of what enters the step's functions.

    They are ``(time, batch, units)``: of update, reset, product and candidate, the functions' arguments. ``before`` are
    the states that the steps start from. One array a gate: cutting them out of a common one costs more than the loop.
    """
    u_update, u_reset, u_candidate = tf.split(tf.transpose(recurrent), 3, axis=0)

    def step(time: tf.Tensor, of_hidden: tf.Tensor, *kept: tf.TensorArray) -> tuple[Any, ...]:
        of_hidden += of_states[time]
        update, reset, candidate = updates[time], resets[time], candidates[time]
        of_candidate = of_hidden * (1 - update) * (1 - candidate * candidate)
        of_update = of_hidden * (before[time] - candidate) * update * (1 - update)
        of_reset = of_candidate * products[time] * reset * (1 - reset)
        of_product = of_candidate * reset
        through_gates = tf.matmul(of_update, u_update) + tf.matmul(of_reset, u_reset)
        of_before = of_hidden * update + through_gates + tf.matmul(of_product, u_candidate)
        return time - 1, of_before, *_write(kept, time, (of_update, of_reset, of_product, of_candidate))

    steps, nothing = tf.shape(of_states)[0], tf.zeros_like(before[0])
    start = (steps - 1, nothing, *_histories(4, steps, nothing))
    _, of_hidden, *kept = tf.while_loop(lambda time, *_: time >= 0, step, start)
    return of_hidden, *(history.stack() for history in kept)


def _histories(count: int, steps: tf.Tensor, like: tf.Tensor) -> list[tf.TensorArray]:
    """As many empty arrays, each for one tensor ``like`` this a step."""
    return [tf.TensorArray(like.dtype, steps, element_shape=like.shape) for _ in range(count)]


def _write(histories: Tensors, time: tf.Tensor, values: Tensors) -> Tensors:
    return tuple(history.write(time, value) for history, value in zip(histories, values, strict=True))
