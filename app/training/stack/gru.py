"""Gated recurrent units of many networks side by side."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from app.training.stack.steps import Tensors, at, backwards, before, forwards, joined, outer, product, put, with_ones


@tf.custom_gradient
def gru(inputs: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Read ``inputs`` ``(models, features, time, batch)``, oldest first; return the states of all steps.

    Keras' GRU with ``reset_after``: ``kernel`` ``(models, features, 3 units)``, ``recurrent``
    ``(models, units, 3 units)`` and ``bias`` ``(models, 2, 3 units)`` hold update, reset and candidate::

        update = sigmoid(x Wu + h Uu + bu)
        reset = sigmoid(x Wr + h Ur + br)
        candidate = tanh(x Wc + reset * (h Uc + bc))
        h = update * h + (1 - update) * candidate
    """
    units, of_product = recurrent.shape[1], bias[:, 1, 2 * recurrent.shape[1] :, None]
    gate_bias = bias[:, 0] + tf.pad(bias[:, 1, : 2 * units], [[0, 0], [0, units]])
    read = with_ones(inputs)
    projected = product(tf.transpose(tf.concat([kernel, gate_bias[:, None]], axis=1), [0, 2, 1]), read)
    states = _states(projected, recurrent, of_product)

    def gradient(of_states: tf.Tensor) -> Tensors:
        start = before(states)
        flows = _flows(of_states, start, projected, recurrent, of_product)
        # Rows of the inputs: candidate, update, reset. Of the states: update, reset, product.
        of_inputs, of_moved = flows[:, : 3 * units], flows[:, units:]
        of_kernel = tf.roll(outer(read, of_inputs), -units, axis=2)
        of_recurrent = outer(with_ones(start), of_moved)
        return (
            product(tf.roll(kernel, units, axis=2), of_inputs),
            of_kernel[:, :-1],
            of_recurrent[:, :-1],
            tf.stack([of_kernel[:, -1], of_recurrent[:, -1]], axis=1),
        )

    return states, gradient


def _gates(x: Tensors, h: Tensors) -> Tensors:
    """Return update, reset, what the state has become of, and the candidate."""
    update, reset, moved = tf.sigmoid(x[0] + h[0]), tf.sigmoid(x[1] + h[1]), h[2]
    return update, reset, moved, tf.tanh(x[2] + reset * moved)


def _states(projected: tf.Tensor, recurrent: tf.Tensor, of_product: tf.Tensor) -> tf.Tensor:
    """Walk through what the inputs say to the gates, ``(models, 3 units, time, batch)``, from a state of zeros."""
    (models, _, steps, batch), units = projected.shape, recurrent.shape[1]
    upward = tf.transpose(recurrent, [0, 2, 1])

    def step(time: tf.Tensor, hidden: tf.Tensor, states: tf.Tensor) -> Tensors:
        h_update, h_reset, h_candidate = tf.split(tf.matmul(upward, hidden), 3, axis=1)
        x = tuple(at(projected, time, first=gate * units, units=units) for gate in range(3))
        update, _, _, candidate = _gates(x, (h_update, h_reset, h_candidate + of_product))
        hidden = candidate + update * (hidden - candidate)
        return hidden, put(states, hidden, time)

    _, states = forwards(steps, step, tf.zeros([models, units, batch]), tf.zeros([models, units, steps, batch]))
    return states


def _flows(
    of_states: tf.Tensor, start: tf.Tensor, projected: tf.Tensor, recurrent: tf.Tensor, of_product: tf.Tensor
) -> tf.Tensor:
    """Return the gradient of what enters candidate, update, reset and product, ``(models, 4 units, time, batch)``.

    ``start`` is the state that each step starts from.
    """
    models, units, steps, batch = start.shape
    moved = tf.split(product(tf.transpose(recurrent, [0, 2, 1]), start), 3, axis=1)
    moved[2] += of_product[..., None]
    update, reset, moved_product, candidate = _gates(tf.split(projected, 3, axis=1), tuple(moved))
    through = (1 - update) * (1 - candidate * candidate)
    # What a step's gradient is multiplied by on its way into candidate, update, reset and product.
    of_reset = through * moved_product * reset * (1 - reset)
    of_update = (start - candidate) * update * (1 - update)
    factors = joined(through, of_update, of_reset, through * reset)

    def step(time: tf.Tensor, of_hidden: tf.Tensor, flows: tf.Tensor) -> Tensors:
        of_hidden += at(of_states, time)
        factor = tf.reshape(at(flows, time), [models, 4, units, batch])
        flows = put(flows, tf.reshape(factor * of_hidden[:, None], [models, 4 * units, batch]), time)
        # Read back: what is used twice, XLA would compute twice.
        through_gates = tf.matmul(recurrent, at(flows, time, first=units, units=3 * units))
        return of_hidden * at(update, time) + through_gates, flows

    _, flows = backwards(steps, step, tf.zeros([models, units, batch]), factors)
    return flows
