"""What every network promises, whatever its architecture and strategy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from keras import layers

from app.domain.catalogue import ARCHITECTURES
from app.domain.distribution import PROBABILITIES
from app.domain.presets import PRESETS
from app.domain.spec import NetworkSpec, Optimizer, Target
from app.errors import UnknownArchitecture
from app.forecasting.runtime import OnnxNetwork, reproduces, same_answers
from app.training.architectures import BUILDERS, MeanForecast, build_network
from app.training.export import check_parity, export_onnx, golden_sample, restore_weights, weights_npz
from app.training.fit import make_learners
from app.training.fitted import FittedNetwork
from tests.training.networks import fit_final, ignore, small_dataset, small_spec, taught, toy_samples

pytestmark = pytest.mark.tensorflow

TARGETS = (Target(field="close"), Target(field="high"))
WINDOW, HORIZON, COLUMNS = 8, 3, 9

# An encoder-decoder is one whatever the strategy says.
DIRECT = [(name, "direct") for name in sorted(ARCHITECTURES)]
DECODED = [(name, "encoder_decoder") for name in sorted(ARCHITECTURES) if name != "encoder_decoder"]
RECURSIVE = [(name, "recursive") for name in sorted(ARCHITECTURES) if name != "encoder_decoder"]


def spec_of(name: str, strategy: str, **changes: Any) -> NetworkSpec:
    """Two targets, three steps; few units, for these are many networks."""
    units = (5, 3) if name == "stacked_lstm" else (4,)
    shape: dict[str, Any] = {"window": WINDOW, "horizon": HORIZON, "targets": TARGETS, "units": units}
    return NetworkSpec(architecture=name, strategy=strategy, **{**shape, **changes})


def some_windows(count: int = 5) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, WINDOW, COLUMNS)).astype(np.float32)


def test_catalogue_and_builders_are_the_same_set():
    assert set(BUILDERS) == set(ARCHITECTURES)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownArchitecture, match="bidirectional_lstm"):
        NetworkSpec(architecture="transformer")


@pytest.mark.parametrize(("name", "strategy"), [*DIRECT, *DECODED, *RECURSIVE])
class TestEveryNetworkAsBuilt:
    def test_answers_all_steps_it_reaches_of_all_targets(self, name, strategy):
        quantiles = {} if strategy == "recursive" else {"pinball": 11}  # which are never fed back
        for loss, params in {"student_t": 3, "huber": 1, **quantiles}.items():
            network = build_network(spec_of(name, strategy, loss=loss), COLUMNS)
            steps = 1 if strategy == "recursive" else HORIZON
            assert network.input_shape == (None, WINDOW, COLUMNS)
            assert network.output_shape == (None, len(TARGETS) * steps, params)

    def test_same_seed_gives_the_same_weights_and_another_seed_others(self, name, strategy):
        spec = spec_of(name, strategy)
        first, again, other = (build_network(spec, COLUMNS, seed=seed).get_weights() for seed in (7, 7, 8))
        for left, right in zip(first, again, strict=True):
            np.testing.assert_array_equal(left, right)
        assert any((left != right).any() for left, right in zip(first, other, strict=True))

    def test_starts_as_the_baseline(self, name, strategy):
        said = np.asarray(build_network(spec_of(name, strategy), COLUMNS)(some_windows()))
        np.testing.assert_allclose(said, np.broadcast_to([0.0, -0.15, 5.42], said.shape), atol=1e-3)

    def test_a_quick_network_takes_the_same_weights_and_answers_the_same(self, name, strategy):
        spec = spec_of(name, strategy, loss="mse")
        plain, quick = build_network(spec, COLUMNS), build_network(spec, COLUMNS, quick=True)
        for left, right in zip(plain.get_weights(), quick.get_weights(), strict=True):
            np.testing.assert_array_equal(left, right)
        said = np.asarray(quick(some_windows()))
        np.testing.assert_allclose(said, np.asarray(plain(some_windows())), rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="class")
def dataset(name, strategy, loss):
    """Real windows for a network that learnt from made-up ones."""
    spec = spec_of(name, strategy, loss=loss, dropout=0.05, early_stopping=None, epochs=5, batch_size=32)
    return small_dataset(spec=replace(spec, optimizer=Optimizer(learning_rate=0.03)))


@pytest.fixture(scope="class")
def fitted(dataset) -> FittedNetwork:
    return taught(dataset, toy_samples(dataset, seed=1))


@pytest.fixture(scope="class")
def onnx(fitted) -> bytes:
    return export_onnx(fitted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strategy", "loss"),
    [
        *((name, strategy, "student_t") for name, strategy in (*DIRECT, *DECODED)),
        *(("gru", strategy, loss) for strategy in ("direct", "encoder_decoder") for loss in ("pinball", "mse")),
    ],
    scope="class",
)
class TestEveryNetworkAsFitted:
    def test_learns_what_the_older_bars_say_of_each_target(self, dataset, fitted):
        (curves,) = fitted.curves
        assert curves.loss[-1] < curves.loss[0]
        unseen = toy_samples(dataset, seed=2)
        answers = fitted.outputs(unseen.inputs)
        if dataset.spec.loss == "pinball":
            said = np.log(answers[..., -1] - answers[..., 0])
        else:
            said = answers[..., {"student_t": 1, "mse": 0}[dataset.spec.loss]]
        for number in range(said.shape[1]):
            assert np.corrcoef(said[:, number], unseen.truth[:, number])[0, 1] > 0.7

    def test_exports_to_a_network_that_answers_the_same(self, dataset, fitted, onnx):
        check_parity(fitted, onnx, dataset)
        assert reproduces(OnnxNetwork(onnx), golden_sample(fitted, dataset))

    def test_keeps_its_weights(self, dataset, fitted):
        twin = build_network(dataset.spec, dataset.features.shape[1], seed=99)
        windows = toy_samples(dataset, seed=3).inputs[:4]
        assert not same_answers(np.asarray(twin(windows)), fitted.outputs(windows))
        restore_weights(twin, weights_npz(fitted))
        np.testing.assert_array_equal(np.asarray(twin(windows)), fitted.outputs(windows))


def test_an_encoder_decoder_is_one_without_saying_so():
    said = [
        np.asarray(build_network(spec_of("encoder_decoder", strategy, loss="mse"), COLUMNS)(some_windows()))
        for strategy in ("direct", "encoder_decoder")
    ]
    np.testing.assert_array_equal(*said)


@pytest.mark.parametrize(("loss", "median"), [("student_t", 0), ("pinball", 5)])
def test_a_drift_is_each_targets_own_and_grows_from_its_first_step(loss, median):
    network = build_network(spec_of("gru", "direct", loss=loss), COLUMNS)
    network.get_layer("forecast").drift.assign([0.1, -0.2])
    said = np.asarray(network(some_windows(1)))[0]
    growth = np.exp(-0.15) * np.sqrt([1, 2, 3])
    np.testing.assert_allclose(said[:, median], [*(0.1 * growth), *(-0.2 * growth)], rtol=1e-5)


@pytest.mark.parametrize("strategy", ["direct", "encoder_decoder"])
def test_quantiles_start_as_those_of_the_student_t_that_other_networks_start_as(strategy):
    said = np.asarray(build_network(spec_of("gru", strategy, loss="pinball"), COLUMNS)(some_windows()))
    expected = np.exp(-0.15) * scipy.stats.t.ppf(PROBABILITIES, 5.42)
    np.testing.assert_allclose(said, np.broadcast_to(expected, said.shape), rtol=1e-3, atol=1e-6)


def test_quantiles_never_cross_whatever_the_weights_are():
    network = build_network(spec_of("gru", "direct", loss="pinball"), COLUMNS)
    random = np.random.default_rng(3)
    network.set_weights([3 * random.standard_normal(weights.shape) for weights in network.get_weights()])
    said = np.asarray(network(some_windows(200)))
    assert (np.diff(said, axis=-1) >= 0).all()
    assert said.std() > 0.1


@pytest.mark.parametrize("rates", [(0.1, 0.2, 0.3), 0.4], ids=["one each", "one for all"])
def test_every_recurrent_layer_has_its_own_dropout(rates):
    spec = spec_of("lstm", "direct", units=(4, 3, 2), dropout=rates)
    network = build_network(spec, COLUMNS)
    found = [layer.rate for layer in network.layers if isinstance(layer, layers.Dropout)]
    assert found == list(spec.dropouts)
    assert network.get_layer("head_dropout").rate == spec.dropouts[-1]


class TestPublishedNetworks:
    @pytest.mark.parametrize(
        ("preset", "columns", "weights"),
        [("btc-lstm", 7, 30_881), ("ibm-lstm", 1, 71_051), ("ibm-gru", 1, 53_901), ("ibm-sequence", 1, 53_901)],
    )
    def test_have_as_many_weights_as_published(self, preset, columns, weights):
        network = build_network(NetworkSpec.from_dict(PRESETS[preset].spec), columns)
        assert network.count_params() == weights
        assert network.output_shape == (None, 1, 1)

    @pytest.mark.parametrize("preset", sorted(name for name in PRESETS if name.startswith("ibm-") and name[-1] != "+"))
    def test_have_four_layers_of_50_with_dropout_behind_each(self, preset):
        for member in NetworkSpec.from_dict(PRESETS[preset].spec).networks:
            stack = [
                (layer.units if isinstance(layer, layers.RNN) else layer.rate)
                for layer in build_network(member, 1).layers
                if isinstance(layer, layers.RNN | layers.Dropout)
            ]
            assert stack == [50, 0.2] * 4

    @pytest.mark.slow
    def test_export_with_relu(self):
        spec = NetworkSpec.from_dict(PRESETS["btc-lstm"].spec)
        dataset = small_dataset(spec=replace(spec, features=("close",), epochs=1))
        network = taught(dataset, toy_samples(dataset, seed=1))
        assert spec.activation == "relu"
        check_parity(network, export_onnx(network), dataset)


class TestMean:
    def test_point_heads_are_averaged_as_they_answer(self):
        answers = [np.full((2, 6, 1), number, np.float32) for number in (1.0, 2.0, 6.0)]
        np.testing.assert_allclose(MeanForecast()(answers), np.full((2, 6, 1), 3.0))

    def test_distributions_keep_the_tails_that_one_of_them_expects(self):
        heavy, normal = ([0.1, np.log(0.8), 4.0], [0.3, np.log(1.25), 150.0])
        answers = [np.broadcast_to(np.float32(said), (2, 6, 3)) for said in (heavy, normal)]
        location, log_scale, df = np.asarray(MeanForecast()(answers))[1, 5]
        np.testing.assert_allclose([location, log_scale], [0.2, 0.0], atol=1e-6)
        np.testing.assert_allclose(1 / df, (1 / 4 + 1 / 150) / 2, rtol=1e-6)

    def test_of_quantiles_is_quantile_by_quantile(self):
        answers = [np.broadcast_to(np.float32(width * np.arange(11)), (2, 6, 11)) for width in (1, 3)]
        np.testing.assert_allclose(MeanForecast()(answers)[1, 5], 2 * np.arange(11))

    def test_is_over_every_seed_of_every_member(self):
        members = tuple(small_spec(architecture=name) for name in ("lstm", "gru"))
        assert len(make_learners(small_dataset(spec=replace(members[0], members=members, seeds=2)))) == 4

    @pytest.mark.slow
    def test_of_an_lstm_and_a_gru_is_one_network_to_export_and_to_keep(self):
        shape: dict[str, Any] = {"horizon": 2, "targets": TARGETS, "epochs": 1, "early_stopping": None}
        members = tuple(small_spec(architecture=name, **shape) for name in ("lstm", "gru"))
        dataset = small_dataset(spec=replace(members[0], members=members))
        learners = make_learners(dataset)
        together = fit_final(dataset, learners, ignore)
        check_parity(together, export_onnx(together), dataset)

        windows = np.array([golden_sample(together, dataset)["window"]], np.float32)
        said, alone = (
            together.outputs(windows),
            [fit_final(dataset, [one], ignore).outputs(windows) for one in learners],
        )
        assert not same_answers(*alone)
        np.testing.assert_allclose(said, MeanForecast()(alone), rtol=1e-4, atol=1e-6)

        kept = weights_npz(together)
        together.model.set_weights([np.zeros_like(weights) for weights in together.model.get_weights()])
        assert not same_answers(together.outputs(windows), said)
        restore_weights(together.model, kept)
        np.testing.assert_array_equal(together.outputs(windows), said)
