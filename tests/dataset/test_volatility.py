from __future__ import annotations

import numpy as np

from app.dataset.volatility import LOWEST, ewma_volatility, log_returns


def test_it_starts_from_the_mean_square_of_the_first_22_returns():
    returns = np.concatenate([[np.nan], np.full(22, 0.02), [0.05]])
    volatility = ewma_volatility(returns)
    assert np.isnan(volatility[:22]).all()
    assert volatility[22] == np.sqrt(np.mean(np.full(22, 0.02) ** 2))
    np.testing.assert_allclose(volatility[23] ** 2, 0.94 * 0.02**2 + 0.06 * 0.05**2)


def test_too_few_returns_have_no_volatility():
    assert np.isnan(ewma_volatility(np.full(22, 0.01))).all()


def test_a_missing_return_leaves_it_as_it_was():
    returns = np.concatenate([[np.nan], np.full(22, 0.02), [np.nan, 0.02]])
    volatility = ewma_volatility(returns)
    assert volatility[23] == volatility[22]


def test_a_flat_stretch_ends_at_the_floor():
    assert (ewma_volatility(np.zeros(50))[22:] == LOWEST).all()


def test_values_that_are_not_positive_have_no_return():
    returns = log_returns(np.array([1.0, 2.0, 0.0, 3.0, -1.0, 4.0]))
    np.testing.assert_array_equal(np.isfinite(returns), [False, True, False, False, False, False])
