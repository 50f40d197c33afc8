"""One epoch of a whole stack as one compiled call: all batches, all steps of the optimizer, and the validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from app.domain.spec import NetworkSpec
from app.training.losses import loss_of
from app.training.stack.network import StackedNetwork, losses, mix
from app.training.stack.optimizer import StackedOptimizer

VALIDATED = 256  # samples of each model at a time


class Data(NamedTuple):
    """All samples of each model: inputs ``(models, samples, window, columns)`` and targets ``(models, samples, n, 1)``.

    Those to learn from come first; the ``validated`` ``(models,)`` after the first ``learnt`` ``(models,)`` are to
    validate on. What follows is filled up and never looked at. ``rates`` ``(models,)`` are the learning rates.
    """

    inputs: Any
    targets: Any
    learnt: Any
    validated: Any
    rates: Any


class State(NamedTuple):
    """What an epoch changes: weights, their moments, and the steps that each model has taken ``(models,)``."""

    weights: Sequence[Any]
    moments: Sequence[Sequence[Any]]
    steps: Any


class Shuffle(NamedTuple):
    """Which samples a model reads in which batch.

    ``order`` is ``(batches, models, batch)``; the first ``sizes`` ``(batches, models)`` of each count, and a model
    steps where that is above 0. Only the first ``batches`` are read. ``keys`` ``(models,)`` are 32 random bits for the
    dropout.
    """

    order: Any
    sizes: Any
    batches: Any
    keys: Any


class Outcome(NamedTuple):
    """The state after the epoch, and the mean losses ``(models,)`` of its batches and of the validation part."""

    state: State
    loss: Any
    val_loss: Any


Epoch = Callable[[Data, State, Shuffle], Outcome]


def compile_epoch(spec: NetworkSpec, columns: int) -> Epoch:
    """Return the epoch of networks of the shape of ``spec``; XLA compiles it once for each size of its arguments.

    That takes seconds.
    """
    parts = _Parts(StackedNetwork.of(spec, columns), StackedOptimizer(chosen=spec.optimizer), loss_of(spec))

    @tf.function(jit_compile=True, autograph=False)
    def epoch(data: Data, state: State, shuffle: Shuffle) -> Outcome:
        state, loss = parts.learn(data, state, shuffle)
        return Outcome(state, loss, parts.validate(data, state.weights))

    compiled: Epoch = epoch
    return compiled


@dataclass(frozen=True)
class _Parts:
    """What an epoch is put together from."""

    network: StackedNetwork
    optimizer: StackedOptimizer
    loss: Any

    def learn(self, data: Data, state: State, shuffle: Shuffle) -> tuple[State, tf.Tensor]:
        """Take a step for every batch; return the mean loss of them, as they were before their steps."""

        def batch(number: tf.Tensor, state: State, total: tf.Tensor) -> tuple[tf.Tensor, State, tf.Tensor]:
            sizes = shuffle.sizes[number]
            keys = mix(shuffle.keys + tf.cast(number, tf.uint32)) if any(self.network.spec.dropouts) else None
            with tf.GradientTape() as tape:
                tape.watch(state.weights)
                sums = self._losses(data, state.weights, shuffle.order[number], sizes, keys)
                mean = tf.math.divide_no_nan(sums, tf.cast(sizes, tf.float32)) + self.network.penalty(state.weights)
                whole = tf.reduce_sum(mean)
            gradients = tape.gradient(whole, state.weights)
            return (
                number + 1,
                self._step(state, gradients, sizes > 0, data.rates),
                total + mean * tf.cast(sizes, tf.float32),
            )

        start = (0, state, tf.zeros(data.learnt.shape))
        _, state, total = tf.while_loop(lambda number, *_: number < shuffle.batches, batch, start)
        return state, tf.math.divide_no_nan(total, tf.cast(data.learnt, tf.float32))

    def validate(self, data: Data, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the mean loss of the validation parts, zero where there is none."""

        def block(first: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            sizes = tf.clip_by_value(data.validated - first, 0, VALIDATED)
            places = data.learnt[:, None] + first + tf.range(VALIDATED)
            places = tf.minimum(places, data.inputs.shape[1] - 1)
            return first + VALIDATED, total + self._losses(data, weights, places, sizes, None)

        most = tf.reduce_max(data.validated)
        _, total = tf.while_loop(lambda first, _: first < most, block, (0, tf.zeros(data.learnt.shape)))
        return tf.math.divide_no_nan(total, tf.cast(data.validated, tf.float32)) + self.network.penalty(weights)

    def _losses(
        self, data: Data, weights: Sequence[tf.Tensor], places: tf.Tensor, sizes: tf.Tensor, keys: tf.Tensor | None
    ) -> tf.Tensor:
        """Return the sum of the losses of the first ``sizes`` ``(models,)`` of the samples ``places``."""
        inputs, targets = (tf.gather(one, places, batch_dims=1) for one in (data.inputs, data.targets))
        said = self.network.answer(weights, tf.transpose(inputs, [0, 3, 2, 1]), keys=keys)
        counts = tf.range(places.shape[1]) < sizes[:, None]
        return tf.reduce_sum(tf.where(counts, losses(self.loss, targets, said), 0.0), axis=1)

    def _step(self, state: State, gradients: Sequence[tf.Tensor], steps_now: tf.Tensor, rates: tf.Tensor) -> State:
        """Let the models step of which ``steps_now`` ``(models,)`` says so."""
        steps = state.steps + tf.cast(steps_now, tf.float32)
        weights, moments = [], []
        for weight, gradient, held in zip(state.weights, gradients, state.moments, strict=True):
            now = tf.reshape(steps_now, [-1] + [1] * (len(weight.shape) - 1))
            # The first step's number for those that have taken none: nothing is divided by zero.
            moved, *beside = self.optimizer.step(weight, gradient, tuple(held), tf.maximum(steps, 1.0), rates)
            weights.append(tf.where(now, moved, weight))
            moments.append([tf.where(now, new, old) for new, old in zip(beside, held, strict=True)])
        return State(weights, moments, steps)
