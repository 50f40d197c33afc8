"""Long short-term memories of many networks side by side.

One sequence ``(models, 4 units, time, batch)`` serves for what the inputs say to the gates, then for what the gradient
is multiplied by on its way into them, then for the gradient itself: a training is bound by memory as much as by its
products, and a step has all of its factors at hand when it has opened its gates.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from app.training.stack.steps import Tensors, at, backwards, before, forwards, outer, product, put, with_ones


@tf.custom_gradient
def lstm(inputs: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Read ``inputs`` ``(models, features, time, batch)``, oldest first; return the states of all steps.

    Keras' LSTM: ``kernel`` ``(models, features, 4 units)``, ``recurrent`` ``(models, units, 4 units)`` and ``bias``
    ``(models, 4 units)`` hold input, forget, cell and output::

        memory = sigmoid(forget) * memory + sigmoid(input) * tanh(cell)
        h = sigmoid(output) * tanh(memory)
    """
    read, units = with_ones(inputs), recurrent.shape[1]
    projected = product(tf.transpose(tf.concat([kernel, bias[:, None]], axis=1), [0, 2, 1]), read)
    states, factors, into_memory, forgotten = _states(projected, recurrent)

    def gradient(of_states: tf.Tensor) -> Tensors:
        flows = _flows(of_states, factors, into_memory, forgotten, recurrent)
        of_weights = outer(tf.concat([before(states), read], axis=1), flows)
        return product(kernel, flows), of_weights[:, units:-1], of_weights[:, :units], of_weights[:, -1]

    return states, gradient


def _gates(arguments: tf.Tensor) -> Tensors:
    """Return how far input, forget and output open, with what the cell would take up in between.

    ``arguments`` are ``(models, 4 units, batch)``. A sigmoid is ``tanh(x / 2) / 2 + 1 / 2``: one pass does for all.
    """
    models, rows, batch = arguments.shape
    width, middle = tf.constant([0.5, 0.5, 1.0, 0.5])[:, None, None], tf.constant([0.5, 0.5, 0.0, 0.5])[:, None, None]
    opened = tf.tanh(tf.reshape(arguments, [models, 4, rows // 4, batch]) * width) * width + middle
    return tuple(tf.unstack(opened, axis=1))


def _states(projected: tf.Tensor, recurrent: tf.Tensor) -> Tensors:
    """Walk through what the inputs say to the gates, ``(models, 4 units, time, batch)``; return states and factors.

    The latter are what the gradient is multiplied by: that of memory, or of the state in the case of output, on its
    way into each gate; that of the state into its memory; and that of memory into the memory before.
    """
    (models, _, steps, batch), units = projected.shape, recurrent.shape[1]
    upward = tf.transpose(recurrent, [0, 2, 1])

    def step(time: tf.Tensor, hidden: tf.Tensor, kept: tf.Tensor, *sequences: tf.Tensor) -> Tensors:
        states, factors, into_memory, forgotten = sequences
        enter, forget, cell, leave = _gates(tf.matmul(upward, hidden) + at(factors, time))
        memory = forget * kept + enter * cell
        shown = tf.tanh(memory)
        hidden = leave * shown
        of_enter, of_forget = cell * enter * (1 - enter), kept * forget * (1 - forget)
        of_cell, of_leave = enter * (1 - cell * cell), hidden * (1 - leave)
        for gate, factor in enumerate((of_enter, of_forget, of_cell, of_leave)):
            factors = put(factors, factor, time, first=gate * units)
        into_memory = put(into_memory, leave * (1 - shown * shown), time)
        return hidden, memory, put(states, hidden, time), factors, into_memory, put(forgotten, forget, time)

    nothing, empty = tf.zeros([models, units, batch]), tf.zeros([models, units, steps, batch])
    _, _, *sequences = forwards(steps, step, nothing, nothing, empty, projected, empty, empty)
    return tuple(sequences)


def _flows(
    of_states: tf.Tensor, factors: tf.Tensor, into_memory: tf.Tensor, forgotten: tf.Tensor, recurrent: tf.Tensor
) -> tf.Tensor:
    """Return the gradient of what enters the gates, ``(models, 4 units, time, batch)``."""
    models, units, steps, batch = of_states.shape
    by_memory = tf.constant([1.0, 1.0, 1.0, 0.0])[:, None, None]

    def step(time: tf.Tensor, of_hidden: tf.Tensor, of_memory: tf.Tensor, flows: tf.Tensor) -> Tensors:
        of_hidden += at(of_states, time)
        of_memory += of_hidden * at(into_memory, time)
        factor = tf.reshape(at(flows, time), [models, 4, units, batch])
        flow = factor * (by_memory * of_memory[:, None] + (1 - by_memory) * of_hidden[:, None])
        flows = put(flows, tf.reshape(flow, [models, 4 * units, batch]), time)
        # Read back: what is used twice, XLA would compute twice.
        return tf.matmul(recurrent, at(flows, time)), of_memory * at(forgotten, time), flows

    nothing = tf.zeros([models, units, batch])
    _, _, flows = backwards(steps, step, nothing, nothing, factors)
    return flows
