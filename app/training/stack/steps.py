"""Walking through time inside one compiled graph: sequences are ``(models, units, time, batch)``.

The batch lies innermost, so that the small layers of small networks fill the processor's vectors all the same. Three
things keep XLA's loops over time fast. A slice is used once, since one that is used twice is not vectorised: gates are
read each by its own, or all at once for a single function. A step that writes to a sequence reads nothing of it but
what it writes over, or it would be copied whole. And what does not depend on the step before is computed for all steps
at once, outside; the LSTM's factors are not, whose step has opened the gates anyway.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

Tensors = tuple[tf.Tensor, ...]


def at(sequence: tf.Tensor, time: Any, *, first: int = 0, units: int | None = None) -> tf.Tensor:
    """Return ``units`` rows of the step ``time``, from the row ``first``: ``(models, units, batch)``."""
    models, rows, _, batch = sequence.shape
    units = rows if units is None else units
    return tf.reshape(tf.slice(sequence, [0, first, time, 0], [models, units, 1, batch]), [models, units, batch])


def put(sequence: tf.Tensor, values: tf.Tensor, time: Any, *, first: int = 0) -> tf.Tensor:
    """Return the sequence with ``values`` ``(models, units, batch)`` in its step ``time``, from the row ``first``."""
    return xla.dynamic_update_slice(sequence, values[:, :, None], tf.stack([0, first, time, 0]))


def product(weights: tf.Tensor, sequence: tf.Tensor) -> tf.Tensor:
    """Multiply every step by ``weights`` ``(models, rows, units)``: ``(models, rows, time, batch)``."""
    models, _, time, batch = sequence.shape
    flat = tf.matmul(weights, tf.reshape(sequence, [models, -1, time * batch]))
    return tf.reshape(flat, [models, -1, time, batch])


def outer(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Sum the products of all steps and samples: ``(models, left's units, right's units)``."""
    models, _, time, batch = left.shape
    left, right = (tf.reshape(one, [models, -1, time * batch]) for one in (left, right))
    return tf.matmul(left, right, transpose_b=True)


def with_ones(sequence: tf.Tensor) -> tf.Tensor:
    """Add a row of ones, so that the products hold what is summed for a bias."""
    models, _, time, batch = sequence.shape
    return tf.concat([sequence, tf.ones([models, 1, time, batch])], axis=1)


def before(states: tf.Tensor) -> tf.Tensor:
    """Return what every step starts from: zeros, then the state of the step before."""
    return tf.concat([tf.zeros_like(states[:, :, :1]), states[:, :, :-1]], axis=2)


def joined(*parts: tf.Tensor) -> tf.Tensor:
    """Put sequences of the same shape above each other: ``(models, all units, time, batch)``.

    Each is written where it belongs: what a concatenation joins, XLA computes element by element.
    """
    models, units, steps, batch = parts[0].shape
    whole = tf.zeros([models, len(parts) * units, steps, batch])
    for place, part in enumerate(parts):
        whole = xla.dynamic_update_slice(whole, part, tf.constant([0, place * units, 0, 0]))
    return whole


def forwards(steps: int, step: Any, *start: tf.Tensor) -> Tensors:
    """Take ``steps`` steps, oldest first: ``step(time, *values)`` returns the values of the next."""
    _, *values = tf.while_loop(lambda t, *_: t < steps, lambda t, *held: (t + 1, *step(t, *held)), (0, *start))
    return tuple(values)


def backwards(steps: int, step: Any, *start: tf.Tensor) -> Tensors:
    """Take ``steps`` steps, newest first."""
    _, *values = tf.while_loop(lambda t, *_: t >= 0, lambda t, *held: (t - 1, *step(t, *held)), (steps - 1, *start))
    return tuple(values)
