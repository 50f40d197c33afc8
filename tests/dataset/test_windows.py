from __future__ import annotations

import numpy as np
import pytest

from app.dataset.scaling import fit_scaler
from app.dataset.targets import future_log_returns, step_scale
from app.dataset.windows import make_windows, network_inputs
from app.domain.spec import NetworkSpec, Target
from app.errors import NotEnoughHistory

ROWS = np.arange(20.0).reshape(10, 2)


def test_a_window_ends_with_its_origin():
    windows = make_windows(ROWS, np.array([3, 9]), window=4)
    assert windows.shape == (2, 4, 2)
    assert windows.dtype == ROWS.dtype
    assert windows[:, :, 0].tolist() == [[0, 2, 4, 6], [12, 14, 16, 18]]


def test_one_bar_too_few_is_refused_with_the_numbers():
    with pytest.raises(NotEnoughHistory) as error:
        make_windows(ROWS[:3], np.array([2]), window=4)
    assert error.value.facts == {"have": 3, "need": 4}


def test_an_origin_too_early_is_refused_with_the_numbers():
    with pytest.raises(NotEnoughHistory) as error:
        make_windows(ROWS, np.array([2, 5]), window=4)
    assert error.value.facts == {"have": 3, "need": 4}


def test_networks_of_returns_see_outliers_cut_and_networks_of_prices_do_not():
    rows = np.concatenate([np.random.default_rng(7).standard_normal((99, 1)), [[1e6]]])
    scaler, last = fit_scaler("standard", rows[:99]), np.array([99])
    of_returns = NetworkSpec(window=4)
    of_prices = NetworkSpec(window=4, targets=(Target(transform="price"),), loss="mse")
    assert network_inputs(rows, last, scaler=scaler, spec=of_returns).max() == 8
    assert network_inputs(rows, last, scaler=scaler, spec=of_prices).max() > 1e5


def test_targets_begin_one_bar_after_their_origin():
    values = np.array([1.0, 2.0, 4.0, 16.0])
    targets = future_log_returns(values, 2) / np.log(2)
    np.testing.assert_allclose(targets, [[1, 2], [1, 3], [2, np.nan], [np.nan, np.nan]])


def test_a_horizon_beyond_the_bars_is_unknown():
    assert np.isnan(future_log_returns(np.array([1.0, 2.0]), 5)[:, 1:]).all()


def test_the_spread_grows_with_the_root_of_the_step():
    np.testing.assert_allclose(step_scale(np.array([0.01]), 4), [[0.01, 0.01 * np.sqrt(2), 0.01 * np.sqrt(3), 0.02]])
