"""The whole-sequence layers are checked in answers and in gradients: a wrong gradient trains, and looks plausible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

import keras
import tensorflow as tf
from keras import layers

from app.training.kernels import training_layer

pytestmark = pytest.mark.tensorflow

TOLERANCE = 1e-5
SHAPES = [(1, 5, 1, 2), (3, 7, 2, 5), (33, 20, 6, 4), (130, 5, 3, 8)]  # batch, time, features, units


@pytest.fixture(params=[layers.LSTM, layers.GRU], ids=["lstm", "gru"])
def stock(request):
    return request.param


def quick_of(stock: type[layers.Layer]) -> type[layers.Layer]:
    quick = training_layer(stock, activation="tanh")
    assert quick is not stock
    return quick


def numbers(*shape: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def with_weights(layer: layers.Layer, *shape: int) -> layers.Layer:
    """The layer, built for inputs of ``shape``, with weights in which no bias is zero and no two are equal."""
    layer.build(shape)
    layer.set_weights([0.4 * numbers(*value.shape, seed=seed) for seed, value in enumerate(layer.get_weights())])
    return layer


def answers_and_gradients(layer: layers.Layer, *inputs: np.ndarray) -> list[np.ndarray]:
    """All that the layer answers, then the gradients of inputs and weights for a sum of no two equal parts."""
    given = [tf.constant(value) for value in inputs]
    weights = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(given)
        answers = tf.nest.flatten(layer(given[0], **({"initial_state": given[1:]} if given[1:] else {})))
        total = tf.add_n([tf.reduce_sum(a * numbers(*a.shape, seed=seed)) for seed, a in enumerate(answers)])
    return [np.asarray(value) for value in [*answers, *tape.gradient(total, [*given, *weights])]]


def assert_same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        largest = np.abs(other).max()
        assert largest > 100 * TOLERANCE, "too small to tell right from wrong"
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE * max(1.0, largest))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("sequences", [True, False], ids=["sequences", "last"])
class TestOneLayer:
    def test_answers_and_gradients_are_those_of_keras(self, stock, shape, sequences):
        batch, time, features, units = shape
        ours, theirs = (
            with_weights(kind(units, return_sequences=sequences), batch, time, features)
            for kind in (quick_of(stock), stock)
        )
        inputs = numbers(batch, time, features)
        assert_same(answers_and_gradients(ours, inputs), answers_and_gradients(theirs, inputs))


@pytest.mark.parametrize(
    "settings",
    [{"go_backwards": True}, {"return_state": True}, {"return_state": True, "return_sequences": True}],
    ids=["backwards", "state", "state_and_sequences"],
)
def test_other_settings_and_first_states_are_those_of_keras(stock, settings):
    ours, theirs = (with_weights(kind(4, **settings), 6, 9, 3) for kind in (quick_of(stock), stock))
    inputs = numbers(6, 9, 3)
    firsts = [numbers(6, 4, seed=seed) for seed in range(len(theirs.state_size))]
    for given in ([inputs], [inputs, *firsts]):
        assert_same(answers_and_gradients(ours, *given), answers_and_gradients(theirs, *given))


def test_bidirectional_takes_the_quick_layer_in_both_directions(stock):
    ours, theirs = (
        with_weights(layers.Bidirectional(kind(4, return_sequences=True)), 6, 9, 3) for kind in (quick_of(stock), stock)
    )
    assert {type(ours.forward_layer), type(ours.backward_layer)} == {quick_of(stock)}
    inputs = numbers(6, 9, 3)
    assert_same(answers_and_gradients(ours, inputs), answers_and_gradients(theirs, inputs))


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "relu"},
        {"recurrent_activation": "tanh"},
        {"use_bias": False},
        {"unroll": True},
        {"dropout": 0.5, "seed": 7},
    ],
    ids=str,
)
def test_what_the_kernel_does_not_compute_is_left_to_keras(stock, settings):
    ours, theirs = (with_weights(kind(4, **settings), 6, 9, 3) for kind in (quick_of(stock), stock))
    inputs = numbers(6, 9, 3)
    np.testing.assert_array_equal(ours(inputs, training=True), theirs(inputs, training=True))


def test_masked_steps_are_left_to_keras(stock):
    ours, theirs = (with_weights(kind(4), 6, 9, 3) for kind in (quick_of(stock), stock))
    inputs, mask = numbers(6, 9, 3), numbers(6, 9) > 0
    np.testing.assert_array_equal(ours(inputs, mask=mask), theirs(inputs, mask=mask))


@pytest.mark.parametrize(
    ("kind", "activation"),
    [(layers.LSTM, "relu"), (layers.GRU, "sigmoid"), (layers.SimpleRNN, "tanh"), (layers.ConvLSTM1D, "tanh")],
)
def test_there_is_no_quick_layer_where_none_fits(kind, activation):
    assert training_layer(kind, activation=activation) is kind


def test_the_registered_gradient_would_not_have_passed():
    """TensorFlow's own gradient of the operation that the LSTM is made of: right answers, wrong gradients."""

    class Registered(layers.LSTM):
        def inner_loop(self, sequences, initial_state, mask, training=False):
            arguments: dict[str, Any] = dict.fromkeys(("wci", "wcf", "wco"), tf.zeros([self.units]))
            hidden = tf.raw_ops.BlockLSTMV2(
                seq_len_max=tf.shape(sequences, out_type=tf.int64)[1],
                x=tf.transpose(sequences, [1, 0, 2]),
                h_prev=initial_state[0],
                cs_prev=initial_state[1],
                w=tf.concat([self.cell.kernel, self.cell.recurrent_kernel], axis=0),
                b=tf.convert_to_tensor(self.cell.bias),
                **arguments,
            ).h
            return hidden[-1], tf.transpose(hidden, [1, 0, 2]), initial_state

    inputs = numbers(3, 7, 2)
    wrong, right = (
        answers_and_gradients(with_weights(kind(5, return_sequences=True), 3, 7, 2), inputs)
        for kind in (Registered, layers.LSTM)
    )
    assert_same(wrong[:1], right[:1])
    for one, other in zip(wrong[1:], right[1:], strict=True):
        assert np.abs(one - other).max() > 100 * TOLERANCE
    with pytest.raises(AssertionError):
        assert_same(wrong, right)


def stacked(kind: type[layers.Layer], *, dropout: float) -> keras.Model:
    """Two layers on a window of 10 steps of 3 columns, from the same first weights whatever their kind."""
    keras.utils.set_random_seed(7)
    window = keras.Input((10, 3))
    state = kind(6)(layers.Dropout(dropout)(kind(8, return_sequences=True)(window)))
    return keras.Model(window, layers.Dense(1)(state))


def test_stacked_layers_have_the_gradients_of_keras(stock):
    ours, theirs = (stacked(kind, dropout=0.0) for kind in (quick_of(stock), stock))
    inputs = numbers(5, 10, 3)
    assert_same(answers_and_gradients(ours, inputs), answers_and_gradients(theirs, inputs))


def test_variables_have_the_names_and_shapes_of_keras_and_weights_go_both_ways(stock):
    ours, theirs = (stacked(kind, dropout=0.0) for kind in (quick_of(stock), stock))
    described = [[(v.name, v.shape) for v in network.variables] for network in (ours, theirs)]
    assert described[0] == described[1]

    inputs = numbers(5, 10, 3)
    for target, source in ((ours, theirs), (theirs, ours)):
        source.set_weights([value + 0.1 for value in source.get_weights()])
        target.set_weights(source.get_weights())
        np.testing.assert_allclose(target(inputs), source(inputs), rtol=0, atol=TOLERANCE)


def losses(kind: type[layers.Layer]) -> np.ndarray:
    """The losses of a fit with dropout, on batches of which the last is short."""
    network = stacked(kind, dropout=0.2)
    network.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), "mse", jit_compile=False)
    inputs = numbers(75, 10, 3)
    history = network.fit(
        inputs, inputs[:, -1].sum(axis=1), validation_split=0.2, batch_size=16, epochs=4, verbose=0
    ).history
    return np.array([history["loss"], history["val_loss"]])


@pytest.mark.slow
def test_a_fit_goes_the_way_of_keras_and_repeats_itself(stock):
    ours = losses(quick_of(stock))
    np.testing.assert_allclose(ours, losses(stock), rtol=1e-3)
    np.testing.assert_array_equal(ours, losses(quick_of(stock)))
    assert ours[0, -1] < ours[0, 0]
