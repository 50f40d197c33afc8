"""Plain recurrences of many networks side by side."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from app.training.stack.steps import Tensors, at, backwards, before, forwards, outer, product, put, with_ones


@tf.custom_gradient
def simple_rnn(inputs: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Read ``inputs`` ``(models, features, time, batch)``, oldest first; return the states of all steps.

    Keras' SimpleRNN, ``h = tanh(x W + h U + b)``: ``kernel`` ``(models, features, units)``, ``recurrent``
    ``(models, units, units)``, ``bias`` ``(models, units)``.
    """
    (models, _, steps, batch), units = inputs.shape, recurrent.shape[1]
    upward, read = tf.transpose(recurrent, [0, 2, 1]), with_ones(inputs)
    projected = product(tf.transpose(tf.concat([kernel, bias[:, None]], axis=1), [0, 2, 1]), read)

    def step(time: tf.Tensor, hidden: tf.Tensor, states: tf.Tensor) -> Tensors:
        hidden = tf.tanh(tf.matmul(upward, hidden) + at(projected, time))
        return hidden, put(states, hidden, time)

    nothing, empty = tf.zeros([models, units, batch]), tf.zeros([models, units, steps, batch])
    _, states = forwards(steps, step, nothing, empty)

    def gradient(of_states: tf.Tensor) -> Tensors:
        factors = 1 - states * states

        def step(time: tf.Tensor, of_hidden: tf.Tensor, flows: tf.Tensor) -> Tensors:
            flows = put(flows, at(flows, time) * (of_hidden + at(of_states, time)), time)
            return tf.matmul(recurrent, at(flows, time)), flows

        _, flows = backwards(steps, step, nothing, factors)
        of_weights = outer(tf.concat([before(states), read], axis=1), flows)
        return product(kernel, flows), of_weights[:, units:-1], of_weights[:, :units], of_weights[:, -1]

    return states, gradient
