"""Networks that learn side by side learn what each would alone, and what Keras would answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

import keras
import tensorflow as tf

from app.domain.spec import EarlyStopping, NetworkSpec, Optimizer, Target
from app.errors import FitDiverged
from app.training.architectures import build_network
from app.training.learner import optimizer_of
from app.training.losses import loss_of
from app.training.samples import Samples
from app.training.stack.network import StackedNetwork, kept, losses, stacks
from app.training.stack.optimizer import StackedOptimizer
from app.training.stack.stack import Learnt, Lesson, Stack, Waiting
from tests.training.networks import small_spec

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

COLUMNS, WINDOW = 3, 6
TOLERANCE = 1e-5

SPECS = {
    "gru": small_spec(window=WINDOW),
    "lstm": small_spec(window=WINDOW, architecture="stacked_lstm", units=(4, 3), loss="mse", horizon=2),
    "simple_rnn": small_spec(window=WINDOW, architecture="simple_rnn", loss="pinball", horizon=3),
    "targets": small_spec(window=WINDOW, targets=(Target(), Target(field="high")), horizon=2),
    "quantiles": small_spec(window=WINDOW, loss="pinball", targets=(Target(), Target(field="high")), units=(3, 4)),
    "huber": small_spec(window=WINDOW, loss="huber"),
}


def samples(spec: NetworkSpec, count: int, *, seed: int) -> Samples:
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((count, spec.window, COLUMNS)).astype(np.float32)
    targets = random.standard_normal((count, len(spec.targets) * spec.reach, 1))
    return Samples(inputs, (0.5 * targets + inputs[:, -1:, :1]).astype(np.float32))


def networks_of(spec: NetworkSpec, count: int) -> list[keras.Model]:
    """As many networks, with weights of which none is zero and no two are equal."""
    made = []
    for number in range(count):
        network, random = build_network(spec, COLUMNS), np.random.default_rng(number)
        network.set_weights([w + 0.3 * random.standard_normal(w.shape).astype(np.float32) for w in network.weights])
        made.append(network)
    return made


def stacked(values: Sequence[Sequence[np.ndarray]]) -> list[tf.Tensor]:
    return [tf.constant(np.stack(parts)) for parts in zip(*values, strict=True)]


def assert_close(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(other).max())))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_answers_losses_and_gradients_are_those_of_keras(spec):
    members, network = networks_of(spec, 3), StackedNetwork.of(spec, COLUMNS)
    seen = [samples(spec, 33, seed=seed) for seed in range(3)]
    inputs, targets = stacked([(one.inputs, one.targets) for one in seen])

    @tf.function(jit_compile=True)
    def together(weights: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            said = network.answer(weights, tf.transpose(inputs, [0, 3, 2, 1]))
            loss = tf.reduce_mean(losses(loss_of(spec), targets, said), axis=1) + network.penalty(weights)
            whole = tf.reduce_sum(loss)
        return said, loss, tape.gradient(whole, weights)

    said, loss, gradients = together(stacked([member.get_weights() for member in members]))
    for place, (member, one) in enumerate(zip(members, seen, strict=True)):
        member.compile(loss=loss_of(spec))
        with tf.GradientTape() as tape:
            answer = member(one.inputs)
            alone = member.compute_loss(y=tf.constant(one.targets), y_pred=answer)
        wanted = tape.gradient(alone, [variable.value for variable in member.trainable_variables])
        assert_close(said[place], answer)
        assert_close(loss[place], alone)
        assert min(float(np.abs(gradient).max()) for gradient in wanted) > 10 * TOLERANCE, "nothing to compare"
        for mine, keras_own in zip(gradients, wanted, strict=True):
            assert_close(mine[place], keras_own)


@pytest.mark.parametrize(
    "chosen",
    [
        Optimizer(clip_norm=0.3),
        Optimizer(clip_norm=None),
        Optimizer(name="rmsprop", clip_norm=None),
        Optimizer(name="rmsprop", momentum=0.8, clip_norm=1.0),
        Optimizer(name="sgd", clip_norm=0.3),
        Optimizer(name="sgd", momentum=0.8),
    ],
    ids=lambda one: f"{one.name} {one.momentum} {one.clip_norm}",
)
def test_every_model_steps_as_it_would_by_keras(chosen):
    random = np.random.default_rng(7)
    weights, gradients = random.standard_normal((2, 3, 2, 4)), random.standard_normal((5, 3, 2, 4))
    mine = StackedOptimizer(chosen=chosen)
    values = tf.constant(weights[0], tf.float32)
    moments = tuple(tf.zeros((3, 2, 4)) for _ in range(mine.moments))
    rates = tf.fill([3], chosen.learning_rate)
    for number, gradient in enumerate(gradients, start=1):
        steps = tf.fill([3], float(number))
        values, *moments = mine.step(values, tf.constant(gradient, tf.float32), tuple(moments), steps, rates)
    for place in range(3):
        alone = keras.Variable(weights[0, place].astype(np.float32))
        theirs = optimizer_of(replace(small_spec(), optimizer=chosen))
        theirs.build([alone])
        for gradient in gradients:
            theirs.apply([tf.constant(gradient[place], tf.float32)], [alone])
        assert_close(values[place], alone.numpy())


@pytest.mark.parametrize(
    ("of", "loss"), [("gru", "student_t"), ("lstm", "student_t"), ("simple_rnn", "student_t"), ("lstm", "mse")]
)
def test_a_whole_fit_is_that_of_keras(of, loss):
    """All samples are one batch: in which order they are read changes nothing but rounding."""
    epochs, optimizer = 6, Optimizer(learning_rate=0.03, clip_norm=0.1)
    changes = {"loss": loss, "epochs": epochs, "batch_size": 64, "early_stopping": None, "optimizer": optimizer}
    spec = replace(SPECS[of], **changes)
    (alone,), learnt_from, judged_by = networks_of(spec, 1), samples(spec, 64, seed=1), samples(spec, 20, seed=2)
    start = alone.get_weights()
    lesson = Lesson(spec=spec, seed=5, start=start, samples=learnt_from, validation=judged_by)
    ((weights, curves),) = learn(Stack(spec, COLUMNS), [lesson], width=1)
    alone.compile(optimizer_of(spec), loss=loss_of(spec))
    history = alone.fit(
        learnt_from.inputs,
        learnt_from.targets,
        validation_data=(judged_by.inputs, judged_by.targets),
        epochs=epochs,
        batch_size=64,
        verbose=0,
    ).history
    np.testing.assert_allclose(curves.loss, history["loss"], rtol=1e-4)
    np.testing.assert_allclose(curves.val_loss, history["val_loss"], rtol=1e-4)
    for mine, keras_own, first in zip(weights, alone.get_weights(), start, strict=True):
        assert np.abs(keras_own - first).max() > 0.01, "nothing was learnt"
        np.testing.assert_allclose(mine, keras_own, rtol=0, atol=1e-4)


def lessons(spec: NetworkSpec, counts: Sequence[int]) -> list[Lesson]:
    """One fit a count of samples; the third has nothing to validate on."""
    return [
        Lesson(
            spec=spec,
            seed=number,
            start=network.get_weights(),
            samples=samples(spec, count, seed=number),
            validation=samples(spec, 40, seed=100 + number) if number != 2 else None,
            keeps_start=number == 1,
        )
        for number, (network, count) in enumerate(zip(networks_of(spec, len(counts)), counts, strict=True))
    ]


def waiting(lesson: Lesson, begin: Callable[[], Lesson] | None = None) -> Waiting:
    validates = len(lesson.validation or ())
    return Waiting(learns=len(lesson.samples), validates=validates, begin=begin or (lambda: lesson))


def learn(stack: Stack, given: Sequence[Lesson], *, width: int) -> list[Learnt]:
    return stack.learn([waiting(one) for one in given], lambda *_: None, width=width)


@pytest.fixture(scope="module", params=[0.0, 0.3], ids=["plain", "dropout"])
def case(request) -> tuple[Stack, list[Lesson], list[Learnt]]:
    """Five fits of different lengths that stop at different epochs, and what came of each alone."""
    changes = {"epochs": 9, "early_stopping": EarlyStopping(patience=2), "batch_size": 32, "dropout": request.param}
    spec = small_spec(window=WINDOW, optimizer=Optimizer(learning_rate=0.03), **changes)
    stack, given = Stack(spec, COLUMNS), lessons(spec, [70, 200, 130, 33, 150])
    return stack, given, [learn(stack, [one], width=1)[0] for one in given]


@pytest.mark.parametrize("width", [1, 3, 5])
def test_each_learns_what_it_learns_alone_whatever_stands_beside(case, width):
    stack, given, alone = case
    for one, other in zip(learn(stack, given, width=width), alone, strict=True):
        (weights, curves), (own_weights, own_curves) = one, other
        assert curves.best_epoch == own_curves.best_epoch
        np.testing.assert_allclose(curves.loss, own_curves.loss, rtol=1e-4)
        np.testing.assert_allclose(curves.val_loss, own_curves.val_loss, rtol=1e-4)
        for mine, own in zip(weights, own_weights, strict=True):
            np.testing.assert_allclose(mine, own, rtol=0, atol=1e-4)


def test_the_best_weights_are_kept_and_a_fit_ends_when_its_patience_does(case):
    _, given, alone = case
    assert len({len(curves.loss) for _, curves in alone}) > 1, "all ended together"
    for lesson, (_, curves) in zip(given, alone, strict=True):
        if lesson.validation is None:
            assert (len(curves.loss), curves.best_epoch, curves.val_loss) == (9, 9, ())
        else:
            assert len(curves.loss) in (9, curves.best_epoch + 2)
            best = min(curves.val_loss)
            assert lesson.keeps_start or curves.val_loss[curves.best_epoch - 1] == best


def test_each_learns_at_its_own_rate_and_as_long_as_it_is_told_to():
    slow, fast = (small_spec(window=WINDOW, optimizer=Optimizer(learning_rate=rate)) for rate in (0.001, 0.05))
    slow, fast = replace(slow, epochs=5, early_stopping=None), replace(fast, epochs=2, early_stopping=None)
    given = [replace(lessons(spec, [90])[0], spec=spec) for spec in (slow, fast)]
    beside = learn(Stack(slow, COLUMNS), given, width=2)
    for (weights, curves), lesson in zip(beside, given, strict=True):
        ((own, own_curves),) = learn(Stack(lesson.spec, COLUMNS), [lesson], width=1)
        assert len(curves.loss) == len(own_curves.loss) == lesson.spec.epochs
        for mine, alone, first in zip(weights, own, lesson.start, strict=True):
            assert np.abs(alone - first).max() > 1e-4, "nothing was learnt"
            np.testing.assert_allclose(mine, alone, rtol=0, atol=1e-4)


def test_a_fit_that_diverges_ends_no_other():
    spec = small_spec(window=WINDOW, loss="mse", optimizer=Optimizer(clip_norm=None), epochs=2)
    good, bad = lessons(spec, [60, 60])
    bad.samples.targets[3] = np.inf
    kept_on, ended = learn(Stack(spec, COLUMNS), [good, bad], width=2)
    assert isinstance(ended, FitDiverged) and ended.facts == {"epoch": 1}
    assert np.isfinite(kept_on[1].loss).all()


@pytest.mark.parametrize("width", [1, 3])
def test_a_fit_that_cannot_begin_ends_no_other(case, width):
    def refuse() -> Lesson:
        raise refusal

    (stack, given, alone), refusal = case, MemoryError("No room.")
    fits = [waiting(given[0], refuse), waiting(given[1]), waiting(given[4], refuse)]
    first, second, third = stack.learn(fits, lambda *_: None, width=width)
    assert first is refusal and third is refusal
    assert second[1].best_epoch == alone[1][1].best_epoch
    assert stack.learn([waiting(given[0], refuse)], lambda *_: None) == [refusal]


def test_no_fit_has_samples_before_it_has_a_place(case):
    stack, given, _ = case
    begun: list[int] = []
    epochs: dict[int, list[int]] = {number: [] for number in range(len(given))}

    def begin(number: int) -> Lesson:
        begun.append(number)
        return given[number]

    def tell(number: int, epoch: int, losses: dict[str, float]) -> None:
        epochs[number].append(len(begun))

    stack.learn([waiting(one, partial(begin, number)) for number, one in enumerate(given)], tell, width=2)
    assert begun == [1, 4, 2, 0, 3], "the longest first"
    assert epochs[1][0] == epochs[4][0] == 2 and epochs[2][0] < 5


def test_a_dropout_keeps_its_share_and_the_mean():
    factors = np.asarray(kept(tf.constant([1, 2, 3], tf.uint32), [3, 40, 20, 50], 0.3))
    np.testing.assert_allclose((factors > 0).mean(axis=(1, 2, 3)), 0.7, atol=0.01)
    np.testing.assert_allclose(factors[factors > 0], 1 / 0.7, rtol=1e-6)
    assert np.abs(np.corrcoef(factors.reshape(3, -1)) - np.eye(3)).max() < 0.02
    assert abs(np.corrcoef(factors[0].ravel()[1:], factors[0].ravel()[:-1])[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("changes", "can"),
    [
        ({}, True),
        ({"strategy": "recursive", "horizon": 3}, True),
        ({"activation": "relu"}, False),
        ({"architecture": "bidirectional_lstm"}, False),
        ({"strategy": "encoder_decoder", "horizon": 3}, False),
        ({"architecture": "cnn_lstm"}, False),
    ],
    ids=str,
)
def test_what_cannot_be_stacked_is_left_to_keras(changes, can):
    assert stacks(small_spec(**changes)) is can
