from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.dataset.features import scale_free
from app.dataset.prepare import prepare
from app.domain.distribution import PROBABILITIES
from app.domain.scale_line import fit_scale_line
from app.domain.spec import NetworkSpec, Target
from app.training.anchor import fit_anchor
from app.training.architectures import build_network
from app.training.fit import fit_network, make_learners
from app.training.learner import Learner
from app.training.samples import Samples
from tests.dataset.series import with_other_future
from tests.training.networks import BARS, ignore, small_spec

pytestmark = pytest.mark.tensorflow

TARGETS = (Target(field="close"), Target(field="high"))
HORIZON, NUMBERS, COLUMNS = 2, 4, 9


def samples(count: int = 400, *, seed: int = 1) -> Samples:
    """Windows whose newest bar says how wide each number of the target will be."""
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((count, 12, COLUMNS))
    log_scale = inputs[:, -1, :NUMBERS] * 0.5 + 0.1
    targets = np.exp(log_scale) * random.standard_t(6.0, (count, NUMBERS))
    return Samples(inputs.astype(np.float32), targets[..., None].astype(np.float32))


def spec_of(**changes) -> NetworkSpec:
    return small_spec(targets=TARGETS, horizon=HORIZON, **changes)


@pytest.mark.parametrize("strategy", ["direct", "encoder_decoder"])
@pytest.mark.parametrize("loss", ["student_t", "pinball"])
def test_an_anchored_network_says_what_the_lines_say(loss, strategy):
    spec, known = spec_of(loss=loss, strategy=strategy), samples()
    network = build_network(spec, COLUMNS)
    fit_anchor(known, spec).put_into(network)
    said = np.asarray(network(known.inputs))
    for number in range(NUMBERS):
        line = fit_scale_line(known.inputs[:, -1], known.targets[:, number, 0])
        expected = line.predictive(known.inputs[:, -1], np.ones(len(known)))
        if loss == "student_t":
            np.testing.assert_allclose(said[:, number, 1], np.log(expected.scale[:, 0]), atol=1e-4)
            np.testing.assert_allclose(said[:, number, 2], expected.df[:, 0], rtol=1e-4)
        else:
            around = said[:, number] - said[:, number, 5:6]
            wanted = np.stack([expected.quantile(p)[:, 0] for p in PROBABILITIES], axis=-1) - expected.location
            np.testing.assert_allclose(around, wanted, rtol=1e-3, atol=1e-4)


def test_a_network_that_finds_nothing_better_stays_the_anchor():
    spec, known = spec_of(epochs=3, early_stopping=small_spec().early_stopping), samples()
    noise = Samples(known.inputs, np.random.default_rng(2).permutation(known.targets) * 30)
    anchor = fit_anchor(known, spec)
    network, curves = Learner(spec, COLUMNS, seed=7).learn(noise, known, ignore, anchor=anchor)
    assert curves.best_epoch == 0
    start = build_network(spec, COLUMNS)
    anchor.put_into(start)
    np.testing.assert_array_equal(np.asarray(network(known.inputs)), np.asarray(start(known.inputs)))


def test_a_point_network_has_no_anchor():
    assert fit_anchor(samples(), spec_of(loss="mse")) is None


def test_a_network_that_reads_columns_in_currency_alone_has_no_anchor():
    known = Samples(np.ones((300, 12, 2), np.float32), np.ones((300, 1, 1), np.float32))
    assert fit_anchor(known, small_spec(features=("close", "volume"))) is None


def test_columns_in_currency_have_no_part_in_the_anchor():
    spec = small_spec(features=("close", "returns", "volume"), peers=("B",), peer_features=("open", "rsi"))
    np.testing.assert_array_equal(scale_free(spec), [False, True, False, False, True])
    dataset = prepare(BARS, replace(spec, epochs=1), {"B": BARS})
    shape = (300, spec.window, dataset.features.shape[1])
    random = np.random.default_rng(1)
    known = Samples(random.standard_normal(shape).astype(np.float32), random.standard_normal((300, 1, 1)))
    weights = fit_anchor(known, spec).weights[:, 0]
    np.testing.assert_array_equal(weights != 0, scale_free(spec))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["student_t", "pinball"])
def test_the_anchor_knows_nothing_that_came_after_what_is_learnt(loss):
    cut, spec = 350, small_spec(loss=loss, epochs=1)
    said = []
    for bars in (BARS, with_other_future(BARS, cut)):
        dataset = prepare(bars, spec)
        network = fit_network(dataset, range(dataset.first_origin, cut), make_learners(dataset), ignore)
        said.append(network.predict(dataset, np.arange(300, cut))[0].quantile(0.05))
    np.testing.assert_array_equal(*said)
