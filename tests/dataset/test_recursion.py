from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.dataset.prepare import Dataset, prepare
from app.dataset.recursion import foretell, simulate_spreads
from app.dataset.scaling import Scaler, Scaling, Spread
from app.domain.spec import NetworkSpec, Target
from tests.dataset.series import made_up_bars, with_other_future

BARS = made_up_bars(420)
NEWEST = np.array([419])


def as_it_is(columns: int) -> Scaler:
    return Scaler("standard", np.zeros(columns), np.ones(columns))


def fed_back(horizon: int, features: tuple[str, ...] = ("close",), **changes: Any) -> tuple[Dataset, Scaling]:
    """A dataset of unscaled prices, and the scaling of a network that reads and names them."""
    spec = NetworkSpec(
        **{
            "features": features,
            "targets": (Target(transform="price"),),
            "loss": "mse",
            "strategy": "recursive",
            "window": 5,
            "horizon": horizon,
            **changes,
        }
    )
    dataset = prepare(BARS, spec)
    spreads = tuple(Spread(np.ones(horizon), np.full(horizon, 5.0)) for _ in dataset.series)
    targets = as_it_is(len(dataset.series)) if spec.target.transform == "price" else None
    return dataset, Scaling(features=as_it_is(dataset.features.shape[1]), target=targets, spreads=spreads)


def one_up(windows: np.ndarray) -> np.ndarray:
    """A network of prices that adds one to the newest."""
    return windows[:, -1:, :1] + 1


def test_each_answer_is_the_newest_row_of_the_next_question():
    asked: list[np.ndarray] = []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(windows)
        return one_up(windows)

    dataset, scaling = fed_back(3)
    (said,) = foretell(network, dataset, NEWEST, scaling)
    last = BARS.close[-1]
    np.testing.assert_allclose(said.location[0], np.log((last + np.arange(1, 4)) / last), rtol=1e-4)
    np.testing.assert_allclose(asked[0][0, :, 0], BARS.close[-5:], rtol=1e-6)
    np.testing.assert_allclose(asked[2][0, :, 0], [*BARS.close[-3:], last + 1, last + 2], rtol=1e-6)


def test_a_year_from_many_origins_asks_the_network_once_a_step():
    asked: list[int] = []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(len(windows))
        return windows[:, -1:, :1]

    dataset, scaling = fed_back(251)
    (said,) = foretell(network, dataset, np.arange(100, 400), scaling)
    assert said.location.shape == (300, 251)
    assert asked == [300] * 251


def test_a_forecast_may_end_early():
    dataset, scaling = fed_back(10)
    (whole,), (part,) = (foretell(one_up, dataset, NEWEST, scaling, steps=steps) for steps in (None, 4))
    np.testing.assert_array_equal(part.location, whole.location[:, :4])
    np.testing.assert_array_equal(part.scale, whole.scale[:, :4])


def test_nothing_after_the_origin_is_known():
    dataset, scaling = fed_back(6)
    other = prepare(with_other_future(BARS, 300), dataset.spec)
    before, after = (foretell(one_up, one, np.array([300]), scaling)[0] for one in (dataset, other))
    np.testing.assert_array_equal(before.location, after.location)
    np.testing.assert_array_equal(before.scale, after.scale)


def test_other_prices_keep_the_shape_of_the_bar_and_the_rest_stays():
    asked: list[np.ndarray] = []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(windows)
        return windows[:, -1:, :1] * 1.1

    dataset, scaling = fed_back(2, ("close", "high", "volume", "range"))
    foretell(network, dataset, NEWEST, scaling)
    newest, made_up = asked[0][0, -1], asked[1][0, -1]
    np.testing.assert_allclose(made_up[:2], newest[:2] * 1.1, rtol=1e-5)
    np.testing.assert_array_equal(made_up[2:], newest[2:])


def test_a_network_that_runs_away_stays_finite():
    dataset, scaling = fed_back(251)
    (said,) = foretell(lambda windows: windows[:, -1:, :1] * 1e6, dataset, NEWEST, scaling)
    assert np.isfinite(said.location).all() and said.location[0, -1] == 10.0
    (said,) = foretell(lambda windows: windows[:, -1:, :1] * -1e6, dataset, NEWEST, scaling)
    assert np.isfinite(said.location).all() and said.location[0, -1] == -10.0


def test_every_kind_of_volume_stays_as_it_was():
    asked: list[np.ndarray] = []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(windows)
        return windows[:, -1:, :1] * 1.1

    bars = replace(BARS, extra={"volume_currency": BARS.volume * BARS.close, "weighted_price": BARS.close})
    spec = replace(fed_back(2)[0].spec, features=("close", "volume_currency", "weighted_price"))
    dataset, (_, scaling) = prepare(bars, spec), fed_back(2)
    foretell(network, dataset, NEWEST, replace(scaling, features=as_it_is(3)))
    newest, made_up = asked[0][0, -1], asked[1][0, -1]
    np.testing.assert_allclose(made_up, newest * [1.1, 1.0, 1.1], rtol=1e-5)


def test_a_network_of_returns_reads_the_returns_that_it_named():
    asked: list[np.ndarray] = []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(windows)
        return np.full((len(windows), 1, 1), 0.5, np.float32)

    dataset, scaling = fed_back(3, ("returns",), targets=(Target(),))
    (said,) = foretell(network, dataset, NEWEST, scaling)
    np.testing.assert_allclose(asked[2][0, -2:, 0], 0.5, rtol=1e-6)
    np.testing.assert_allclose(said.location[0], 0.5 * dataset.sigma[-1] * np.array([1, 2, 3]), rtol=1e-6)


def test_a_made_up_return_is_cut_where_returns_are():
    asked: list[np.ndarray] = []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(windows)
        return np.full((len(windows), 1, 1), 7.5, np.float32)

    dataset, scaling = fed_back(2, ("returns",), targets=(Target(),))
    foretell(network, dataset, NEWEST, scaling)
    assert asked[1][0, -1, 0] == 6.0


@pytest.mark.parametrize("fields", [("volume",), ("volume", "close")])
def test_prices_do_not_follow_a_volume(fields: tuple[str, ...]):
    asked: list[np.ndarray] = []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(windows)
        return np.stack([windows[:, -1, 0] * 2, windows[:, -1, 1] * 1.1], axis=1)[:, : len(fields), None]

    targets = tuple(Target(field=name, transform="price") for name in fields)
    dataset, scaling = fed_back(2, ("volume", "close", "high"), targets=targets)
    foretell(network, dataset, NEWEST, scaling)
    moved = 1.1 if "close" in fields else 1.0
    np.testing.assert_allclose(asked[1][0, -1], asked[0][0, -1] * np.array([2, moved, moved]), rtol=1e-5)


def test_several_targets_are_each_fed_back():
    dataset, scaling = fed_back(
        3, ("close", "high"), targets=(Target(transform="price"), Target(field="high", transform="price"))
    )

    def network(windows: np.ndarray) -> np.ndarray:
        return np.stack([windows[:, -1, 0] + 1, windows[:, -1, 1] + 2], axis=1)[..., None]

    of_close, of_high = foretell(network, dataset, NEWEST, scaling)
    np.testing.assert_allclose(BARS.close[-1] * np.exp(of_close.location[0, -1]), BARS.close[-1] + 3, rtol=1e-4)
    np.testing.assert_allclose(BARS.high[-1] * np.exp(of_high.location[0, -1]), BARS.high[-1] + 6, rtol=1e-4)


@pytest.mark.parametrize(
    ("memory", "last"),
    [(1.0, (0.9, 1.3)), (0.0, (0.999, 1.001)), (1.1, (1.5, 9.0))],
    ids=["a walk", "a return", "a run"],
)
def test_paths_tell_what_an_error_does_to_later_steps(memory, last):
    """Errors of a walk add up, so that the spread grows with the root of the step; those of a run grow by themselves.

    A network that returns forgets its errors, which makes none of them undone.
    """
    dataset, scaling = fed_back(25)
    home = float(BARS.close[-1])

    def network(windows: np.ndarray) -> np.ndarray:
        return np.asarray(home + memory * (windows[:, -1:, :1] - home), np.float32)

    one_step = (Spread(np.array([0.8]), np.array([8.0])),)
    origins = np.full(8, 419)
    (spread,) = simulate_spreads(network, dataset, origins, scaling, one_step=one_step, seed=7)
    assert spread.scale[0] == pytest.approx(0.8, rel=0.2) and spread.scale.min() >= 0.8
    assert last[0] < spread.scale[-1] / spread.scale[0] < last[1]
    (again,) = simulate_spreads(network, dataset, origins, scaling, one_step=one_step, seed=7)
    np.testing.assert_array_equal(spread.scale, again.scale)
