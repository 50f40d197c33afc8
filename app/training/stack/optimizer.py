"""Keras' optimizers, step by step, for weights with a model axis."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from app.domain.spec import Optimizer
from app.training.stack.steps import Tensors

EPSILON = 1e-7  # Keras' default, as are those below
FIRST, SECOND = 0.9, 0.999  # Adam's averages
RHO = 0.9  # RMSprop's average


@dataclass(frozen=True, kw_only=True)
class StackedOptimizer:
    """One step of ``chosen`` for all models; each has taken a number of steps of its own, at a rate of its own."""

    chosen: Optimizer

    @property
    def moments(self) -> int:
        """How many numbers are kept beside each weight."""
        momentum = int(self.chosen.momentum > 0)
        return {"adam": 2, "rmsprop": 1 + momentum, "sgd": momentum}[self.chosen.name]

    def step(
        self, weight: tf.Tensor, gradient: tf.Tensor, moments: Tensors, steps: tf.Tensor, rates: tf.Tensor
    ) -> Tensors:
        """Return ``weight`` ``(models, ...)`` and its ``moments`` after step number ``steps`` ``(models,)``, from 1.

        ``rates`` ``(models,)`` are the learning rates; that of ``chosen`` is not looked at.
        """
        gradient = self._clipped(gradient)
        each = [-1] + [1] * (len(weight.shape) - 1)
        rates = tf.reshape(rates, each)
        if self.chosen.name == "adam":
            return self._adam(weight, gradient, moments, tf.reshape(steps, each), rates)
        increment = gradient * rates
        if self.chosen.name == "rmsprop":
            velocity = RHO * moments[0] + (1 - RHO) * tf.square(gradient)
            increment /= tf.sqrt(velocity + EPSILON)
            if not self.chosen.momentum:
                return weight - increment, velocity
            momentum = self.chosen.momentum * moments[1] + increment
            return weight - momentum, velocity, momentum
        if not self.chosen.momentum:
            return (weight - increment,)
        momentum = moments[0] * self.chosen.momentum - increment
        return weight + momentum, momentum

    def _adam(
        self, weight: tf.Tensor, gradient: tf.Tensor, moments: Tensors, steps: tf.Tensor, rates: tf.Tensor
    ) -> Tensors:
        rate = rates * tf.sqrt(1 - SECOND**steps) / (1 - FIRST**steps)
        first = moments[0] + (gradient - moments[0]) * (1 - FIRST)
        second = moments[1] + (tf.square(gradient) - moments[1]) * (1 - SECOND)
        return weight - first * rate / (tf.sqrt(second) + EPSILON), first, second

    def _clipped(self, gradient: tf.Tensor) -> tf.Tensor:
        """Cap the norm of each model's gradient of this weight."""
        if self.chosen.clip_norm is None:
            return gradient
        axes = list(range(1, len(gradient.shape)))
        norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axes, keepdims=True))
        return gradient * self.chosen.clip_norm / tf.maximum(norm, self.chosen.clip_norm)
