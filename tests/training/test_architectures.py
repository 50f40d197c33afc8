"""What every architecture promises, checked on each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.domain.catalogue import ARCHITECTURES
from app.domain.spec import NetworkSpec, Target
from app.errors import UnknownArchitecture
from app.forecasting.runtime import OnnxNetwork, reproduces
from app.training.architectures import BUILDERS, build_network
from app.training.export import check_parity, export_onnx, golden_sample, restore_weights, weights_npz
from app.training.fit import fit_final, make_learners
from tests.training.networks import ignore, small_dataset

pytestmark = pytest.mark.tensorflow

PRICE: dict[str, Any] = {
    "target": Target(field="close", transform="price"),
    "features": ("close", "volume"),
    "loss": "mse",
    "scaler": "minmax",
}


def units_of(name: str) -> tuple[int, ...]:
    return (5, 3) if name == "stacked_lstm" else (4,)


def test_catalogue_and_builders_are_the_same_set():
    assert set(BUILDERS) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
class TestEveryArchitecture:
    def test_maps_windows_to_one_distribution_a_step(self, name):
        spec = NetworkSpec(architecture=name, window=13, horizon=3, units=units_of(name))
        network = build_network(spec, 9)
        assert network.input_shape == (None, 13, 9)
        assert network.output_shape == (None, 3, 3)

    def test_maps_windows_to_one_number_a_step_for_a_point_head(self, name):
        network = build_network(NetworkSpec(architecture=name, window=4, horizon=2, units=units_of(name), **PRICE), 2)
        assert network.output_shape == (None, 2, 1)

    def test_same_seed_gives_the_same_weights_and_another_seed_others(self, name):
        spec = NetworkSpec(architecture=name, units=units_of(name))
        first, again, other = (build_network(spec, 9, seed=seed).get_weights() for seed in (7, 7, 8))
        for left, right in zip(first, again, strict=True):
            np.testing.assert_array_equal(left, right)
        assert any((left != right).any() for left, right in zip(first, other, strict=True))

    def test_starts_as_the_baseline(self, name):
        network = build_network(NetworkSpec(architecture=name, horizon=2, units=units_of(name)), 9)
        windows = np.random.default_rng(7).standard_normal((5, 20, 9)).astype(np.float32)
        said = np.asarray(network(windows))
        np.testing.assert_allclose(said, np.broadcast_to([0.0, -0.15, 5.42], said.shape), atol=1e-3)

    @pytest.mark.slow
    @pytest.mark.parametrize("head", [{}, PRICE], ids=["student_t", "point"])
    def test_learns_exports_and_keeps_its_weights(self, name, head):
        dataset = small_dataset(
            architecture=name, units=units_of(name), horizon=2, dropout=0.1, epochs=4, early_stopping=None, **head
        )
        network = fit_final(dataset, make_learners(dataset), ignore)
        assert network.curves.loss[-1] < network.curves.loss[0]

        onnx = export_onnx(network)
        check_parity(network, onnx, dataset)
        golden = golden_sample(network, dataset)
        assert reproduces(OnnxNetwork(onnx), golden)

        twin = build_network(dataset.spec, dataset.features.shape[1], seed=99)
        restore_weights(twin, weights_npz(network))
        window = np.array([golden["window"]], np.float32)
        np.testing.assert_array_equal(np.asarray(twin(window)), network.outputs(window))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownArchitecture, match="bidirectional_lstm"):
        NetworkSpec(architecture="transformer")
