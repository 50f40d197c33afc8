"""One network of a spec, computed for many sets of weights at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from app.domain.spec import NetworkSpec
from app.training.architectures import BUILDERS, build_network
from app.training.architectures.heads import GAPS, SHAPE_RIDGE, quantile_answers, student_t_answers
from app.training.kernels import outpaces_keras
from app.training.stack.gru import gru
from app.training.stack.lstm import lstm
from app.training.stack.simple_rnn import simple_rnn

_ARCHITECTURES = ("lstm", "stacked_lstm", "gru", "simple_rnn")
_READ = {layers.LSTM: lstm, layers.GRU: gru, layers.SimpleRNN: simple_rnn}


def stacks(spec: NetworkSpec) -> bool:
    """Whether networks of ``spec`` can be stacked, and gain by it: recurrent layers on top of each other."""
    plain = spec.architecture in _ARCHITECTURES and spec.strategy != "encoder_decoder"
    return plain and outpaces_keras(spec.activation)


@dataclass(frozen=True, eq=False, kw_only=True)
class StackedNetwork:
    """What the networks of one spec answer, weights ``(models, ...)`` in the order of ``get_weights`` of Keras' own.

    Sequences are ``(models, features, time, batch)``, answers ``(models, batch, targets x reach, params)``.
    """

    spec: NetworkSpec
    recurrent: tuple[int, ...]
    head: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, spec: NetworkSpec, columns: int) -> StackedNetwork:
        """Look up in Keras' network of ``spec`` where its weights are."""
        network = build_network(spec, columns)
        place = {id(variable): number for number, variable in enumerate(network.weights)}
        held = {layer: tuple(place[id(variable)] for variable in layer.weights) for layer in network.layers}
        return cls(
            spec=spec,
            recurrent=tuple(at[0] for layer, at in held.items() if isinstance(layer, layers.RNN)),
            head={layer.name: at for layer, at in held.items() if at and not isinstance(layer, layers.RNN)},
        )

    def answer(self, weights: Sequence[tf.Tensor], inputs: tf.Tensor, *, keys: tf.Tensor | None = None) -> tf.Tensor:
        """Answer ``inputs``; with ``keys`` ``(models,)``, random 32 bits, some of the states are dropped out."""
        read = _READ[BUILDERS[self.spec.architecture].recurrent]
        sequence = inputs
        for layer, (first, rate) in enumerate(zip(self.recurrent, self.spec.dropouts, strict=True)):
            sequence = read(sequence, *weights[first : first + 3])
            if layer == len(self.recurrent) - 1:
                sequence = sequence[:, :, -1:]
            if keys is not None and rate:
                sequence *= kept(keys + tf.cast(layer, tf.uint32), sequence.shape, rate)
        state, newest = (tf.transpose(one[:, :, -1], [0, 2, 1]) for one in (sequence, inputs))
        return self._say(weights, state, newest)

    def penalty(self, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return what is added to each model's loss, ``(models,)``."""
        if "shape" not in self.head:
            return tf.zeros_like(weights[0][:, 0, 0])
        return SHAPE_RIDGE * tf.reduce_sum(tf.square(weights[self.head["shape"][0]]), axis=[1, 2])

    def _say(self, weights: Sequence[tf.Tensor], state: tf.Tensor, newest: tf.Tensor) -> tf.Tensor:
        """Say what ``forecast_head`` says of ``state`` and the ``newest`` bar, ``(models, batch, ...)``."""
        steps, *bias = (weights[place] for place in self.head["steps"])
        numbers = tf.matmul(state, steps)
        if self.spec.head == "point":
            return (numbers + bias[0][:, None])[..., None]
        kernel, level = (weights[place] for place in self.head["newest_bar"])
        log_scale = numbers + (tf.matmul(newest, kernel) + level[:, None])
        drift, tails = (weights[place][:, None] for place in self.head["forecast"])
        if self.spec.head == "student_t":
            return student_t_answers(log_scale, drift, tails)
        shifts = tf.matmul(state, weights[self.head["shape"][0]])
        return quantile_answers(log_scale, tf.reshape(shifts, [*log_scale.shape, GAPS]), drift, tails)


def kept(keys: tf.Tensor, shape: Sequence[int], rate: float) -> tf.Tensor:
    """Return which of ``shape`` ``(models, ...)`` a dropout of ``rate`` keeps, as factors that keep the mean.

    A model's are of its key alone, whatever stands beside it: a counter, mixed (MurmurHash3's last step).
    """
    counter = tf.reshape(tf.range(int(tf.TensorShape(shape[1:]).num_elements())), [1, *shape[1:]])
    mixed = tf.cast(counter, tf.uint32) * _bits(0x9E3779B1) + tf.reshape(mix(keys), [-1] + [1] * (len(shape) - 1))
    uniform = tf.cast(tf.bitwise.right_shift(mix(mixed), _bits(8)), tf.float32) / 2.0**24
    return tf.cast(uniform >= rate, tf.float32) / (1 - rate)


def mix(bits: tf.Tensor) -> tf.Tensor:
    """Spread every bit of 32 over all of them."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, _bits(shift))) * _bits(factor)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, _bits(16)))


def _bits(number: int) -> Any:
    return tf.constant(number, tf.uint32)


def losses(loss: Any, targets: tf.Tensor, said: tf.Tensor) -> tf.Tensor:
    """Return the loss of every sample, ``(models, batch)``; ``loss`` is as Keras takes it."""
    function = keras.losses.get(loss) if isinstance(loss, str) else loss
    return tf.reduce_mean(function(targets, said), axis=-1)
