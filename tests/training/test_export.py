"""The ONNX file that a network leaves as: the same answers, and no loop of single steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

import keras
import onnx
from keras import layers

from app.domain.catalogue import ARCHITECTURES
from app.domain.presets import PRESETS
from app.domain.spec import ACTIVATIONS, NetworkSpec, Target
from app.errors import ParityFailed
from app.forecasting.runtime import OnnxNetwork, same_answers
from app.training.architectures import MeanForecast, build_network
from app.training.export import check_parity, export_onnx
from app.training.onnx_graph import INPUT, OUTPUT, onnx_of
from tests.training.networks import small_dataset, taught, toy_samples

pytestmark = pytest.mark.tensorflow

TARGETS = (Target(field="close"), Target(field="high"))
LOOPS = {"Loop", "Scan", "If"}
RECURRENT = {"LSTM", "GRU", "RNN"}


def preset(name: str) -> NetworkSpec:
    return NetworkSpec.from_dict(PRESETS[name].spec)


def wide(architecture: str, **changes: Any) -> NetworkSpec:
    """A network of common size with two targets."""
    shape: dict[str, Any] = {"window": 60, "horizon": 5, "targets": TARGETS, "units": (32,)}
    return NetworkSpec(architecture=architecture, **{**shape, **changes})


def network_of(spec: NetworkSpec, columns: int) -> keras.Model:
    """The network of ``spec`` with no weight at zero; one of several members is the mean of them."""
    random = np.random.default_rng(5)
    networks = [build_network(member, columns) for member in spec.networks]
    for network in networks:
        network.set_weights([w + random.normal(0, 0.05, w.shape).astype(np.float32) for w in network.get_weights()])
    if len(networks) == 1:
        return networks[0]
    window = keras.Input((spec.window, columns))
    for member, network in enumerate(networks):
        network.name = f"member_{member}"
    return keras.Model(window, MeanForecast()([network(window) for network in networks]))


def some_windows(network: keras.Model, count: int) -> np.ndarray:
    shape = (count, *network.input_shape[1:])
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def answers_of(network: keras.Model, windows: np.ndarray) -> np.ndarray:
    return np.asarray(network(windows, training=False))


def operators(file: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(file).graph.node]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "columns"),
    [
        *(pytest.param(preset(name), 1, id=name) for name in ("ibm-lstm", "ibm-gru", "ibm-lstm-gru", "ibm-lstm-gru+")),
        *(pytest.param(preset(name), 6, id=name) for name in ("msft-gru", "msft-rnn", "msft-stacked")),
        pytest.param(preset("btc-lstm"), 7, id="btc-lstm"),
        pytest.param(preset("default"), 4, id="default"),
        *(pytest.param(wide(name), 9, id=name) for name in ("bidirectional_lstm", "cnn_lstm", "conv_lstm")),
        pytest.param(wide("encoder_decoder"), 9, id="encoder_decoder"),
        pytest.param(
            wide("conv_lstm", members=(wide("conv_lstm"), wide("conv_lstm", units=(8,)))), 9, id="two conv_lstm"
        ),
        pytest.param(wide("conv_lstm", window=9), 9, id="conv_lstm of a short window with an odd bar"),
        pytest.param(wide("cnn_lstm", window=9), 9, id="cnn_lstm of a window with an odd bar"),
    ],
)
def test_a_network_of_real_size_answers_the_same_for_one_window_and_for_many(spec, columns):
    network = network_of(spec, columns)
    exported = OnnxNetwork(onnx_of(network))
    windows = some_windows(network, 300)
    said = answers_of(network, windows)
    assert np.ptp(said[..., 0]) > 0
    assert same_answers(exported.run(windows), said)
    assert same_answers(exported.run(windows[:1]), said[:1])


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("architecture", ["lstm", "gru", "simple_rnn", "conv_lstm", "bidirectional_lstm"])
def test_every_activation_is_the_same_outside(architecture, activation):
    network = network_of(wide(architecture, units=(6,), window=20, activation=activation), 3)
    windows = some_windows(network, 16)
    assert same_answers(OnnxNetwork(onnx_of(network)).run(windows), answers_of(network, windows))


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"conv_lstm"}))
def test_a_sequence_is_read_by_one_operator_a_layer_and_by_no_loop(architecture):
    units = (4, 3) if architecture == "stacked_lstm" else (4,)
    network = build_network(wide(architecture, units=units), 3)
    kinds = (layers.RNN, layers.Bidirectional)
    written = operators(onnx_of(network))
    assert not LOOPS & set(written)
    assert sum(kind in RECURRENT for kind in written) == sum(isinstance(layer, kinds) for layer in network.layers)


def test_the_file_is_valid_and_takes_any_number_of_windows():
    network = build_network(wide("gru"), 3)
    file = onnx.load_from_string(onnx_of(network))
    onnx.checker.check_model(file, full_check=True)
    for tensor, name, shape in ((file.graph.input[0], INPUT, [60, 3]), (file.graph.output[0], OUTPUT, [10, 3])):
        batch, *sizes = tensor.type.tensor_type.shape.dim
        assert tensor.name == name
        assert tensor.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert batch.dim_param == "batch"
        assert [size.dim_value for size in sizes] == shape


class TestStudentT:
    def test_an_untrained_network_is_exactly_the_baseline(self):
        network = build_network(wide("gru", units=(4,)), 3)
        windows = some_windows(network, 5)
        said, expected = OnnxNetwork(onnx_of(network)).run(windows), answers_of(network, windows)
        np.testing.assert_array_equal(said[..., :2], np.broadcast_to(np.float32([0.0, -0.15]), (5, 10, 2)))
        np.testing.assert_array_max_ulp(said, expected, maxulp=1)

    def test_keeps_its_bounds_and_the_drift_of_each_target(self):
        network = build_network(wide("gru", units=(4,)), 3)
        head = network.get_layer("forecast")
        head.drift.assign([0.1, -0.2])
        head.df_excess.assign(np.linspace(-9, 9, 10))
        network.get_layer("newest_bar").bias.assign(np.linspace(-9, 9, 10))
        windows = some_windows(network, 5)
        said = OnnxNetwork(onnx_of(network)).run(windows)
        assert (said[..., 1].min(), said[..., 1].max()) == (-5.0, 5.0)
        np.testing.assert_allclose(said, answers_of(network, windows), rtol=1e-5)


class TestWhatHasNoWriter:
    def test_a_layer_is_an_error_that_names_it_and_the_known_ones(self):
        window = keras.Input((4, 2))
        network = keras.Model(window, layers.LayerNormalization(name="unheard_of")(window))
        with pytest.raises(NotImplementedError, match=r"LayerNormalization 'unheard_of'. Known: .*ConvLSTM1D.*LSTM"):
            onnx_of(network)

    def test_an_activation_is_an_error_that_names_it_and_the_known_ones(self):
        window = keras.Input((4, 2))
        network = keras.Model(window, layers.Dense(2, activation="gelu")(window))
        with pytest.raises(NotImplementedError, match=r"'gelu'. Known: .*relu"):
            onnx_of(network)

    def test_a_quick_network_is_an_error(self):
        with pytest.raises(NotImplementedError, match="GRU"):
            onnx_of(build_network(wide("gru"), 3, quick=True))


@pytest.mark.slow
def test_a_file_that_answers_other_steps_is_refused():
    dataset = small_dataset(architecture="gru", epochs=1)
    longer = small_dataset(spec=replace(dataset.spec, horizon=2))
    network, other = (taught(of, toy_samples(of, seed=1)) for of in (dataset, longer))
    with pytest.raises(ParityFailed) as refused:
        check_parity(network, export_onnx(other), dataset)
    assert refused.value.facts["largest_difference"] is None
