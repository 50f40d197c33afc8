"""Long short-term memories of many networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from app.training.stack.steps import Tensors, at, backwards, before, forwards, joined, outer, product, put, with_ones


@tf.custom_gradient
def lstm(inputs: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Read ``inputs`` ``(models, features, time, batch)``, oldest first; return the states of all steps.

    Keras' LSTM: ``kernel`` ``(models, features, 4 units)``, ``recurrent`` ``(models, units, 4 units)`` and ``bias``
    ``(models, 4 units)`` hold input, forget, cell and output::

        memory = sigmoid(forget) * memory + sigmoid(input) * tanh(cell)
        h = sigmoid(output) * tanh(memory)
    """
    read = with_ones(inputs)
    projected = product(tf.transpose(tf.concat([kernel, bias[:, None]], axis=1), [0, 2, 1]), read)
    states, memories = _states(projected, recurrent)

    def gradient(of_states: tf.Tensor) -> Tensors:
        start = before(states)
        flows = _flows(of_states, start, memories, projected, recurrent)
        of_kernel = outer(read, flows)
        return product(kernel, flows), of_kernel[:, :-1], outer(start, flows), of_kernel[:, -1]

    return states, gradient


def _gates(arguments: Sequence[tf.Tensor]) -> Tensors:
    """Return how far input, forget and output open, with what the cell would take up in between."""
    enter, forget, cell, leave = arguments
    return tf.sigmoid(enter), tf.sigmoid(forget), tf.tanh(cell), tf.sigmoid(leave)


def _states(projected: tf.Tensor, recurrent: tf.Tensor) -> Tensors:
    """Walk through what the inputs say to the gates, ``(models, 4 units, time, batch)``; return states and memories."""
    (models, _, steps, batch), units = projected.shape, recurrent.shape[1]
    upward = tf.transpose(recurrent, [0, 2, 1])

    def step(time: tf.Tensor, hidden: tf.Tensor, memory: tf.Tensor, states: tf.Tensor, memories: tf.Tensor) -> Tensors:
        moved = tf.split(tf.matmul(upward, hidden), 4, axis=1)
        x = [at(projected, time, first=gate * units, units=units) for gate in range(4)]
        enter, forget, cell, leave = _gates([a + b for a, b in zip(x, moved, strict=True)])
        memory = forget * memory + enter * cell
        hidden = leave * tf.tanh(memory)
        return hidden, memory, put(states, hidden, time), put(memories, memory, time)

    nothing, empty = tf.zeros([models, units, batch]), tf.zeros([models, units, steps, batch])
    _, _, states, memories = forwards(steps, step, nothing, nothing, empty, empty)
    return states, memories


def _flows(
    of_states: tf.Tensor, start: tf.Tensor, memories: tf.Tensor, projected: tf.Tensor, recurrent: tf.Tensor
) -> tf.Tensor:
    """Return the gradient of what enters the gates, ``(models, 4 units, time, batch)``.

    ``start`` is the state that each step starts from.
    """
    models, units, steps, batch = start.shape
    kept, upward = before(memories), tf.transpose(recurrent, [0, 2, 1])
    enter, forget, cell, leave = _gates(tf.split(projected + product(upward, start), 4, axis=1))
    shown = tf.tanh(memories)
    into_memory = leave * (1 - shown * shown)
    # What the gradient of memory, of the state in the case of output, is multiplied by on its way into each gate.
    of_enter, of_forget = cell * enter * (1 - enter), kept * forget * (1 - forget)
    of_cell, of_leave = enter * (1 - cell * cell), shown * leave * (1 - leave)
    factors = joined(of_enter, of_forget, of_cell, of_leave)
    by_memory = tf.constant([1.0, 1.0, 1.0, 0.0])[:, None, None]

    def step(time: tf.Tensor, of_hidden: tf.Tensor, of_memory: tf.Tensor, all_flows: tf.Tensor) -> Tensors:
        of_hidden += at(of_states, time)
        of_memory += of_hidden * at(into_memory, time)
        factor = tf.reshape(at(factors, time), [models, 4, units, batch])
        flows = factor * (by_memory * of_memory[:, None] + (1 - by_memory) * of_hidden[:, None])
        flows = tf.reshape(flows, [models, 4 * units, batch])
        return tf.matmul(recurrent, flows), of_memory * at(forget, time), put(all_flows, flows, time)

    nothing = tf.zeros([models, units, batch])
    _, _, flows = backwards(steps, step, nothing, nothing, tf.zeros([models, 4 * units, steps, batch]))
    return flows
