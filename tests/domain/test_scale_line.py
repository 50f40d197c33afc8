from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import check_grad

from app.domain.scale_line import _loss, fit_scale_line

WEIGHTS = np.array([0.3, -0.2, 0.0])


def simulated(count: int, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows of columns of different size and place, and returns whose log scale is a line of them."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((count, 3)) * [1.0, 2.0, 0.5] + [0.0, 3.0, -1.0]
    scale = np.exp(-0.1 + rows @ WEIGHTS)
    return rows, scale * (0.05 + generator.standard_t(6.0, count))


def test_the_line_that_made_the_returns_is_found_again():
    line = fit_scale_line(*simulated(40_000))
    np.testing.assert_allclose(line.weights, WEIGHTS, atol=0.02)
    assert line.bias == pytest.approx(-0.1, abs=0.05)
    assert line.drift == pytest.approx(0.05, abs=0.02)
    assert line.df == pytest.approx(6.0, abs=0.6)


def test_the_gradient_is_that_of_the_loss():
    rows, units = simulated(200)
    standard = np.concatenate([np.ones((200, 1)), rows], axis=1)
    for seed in range(5):
        guess = np.random.default_rng(seed).normal(0.0, 0.5, 6)
        difference = check_grad(lambda g: _loss(g, standard, units)[0], lambda g: _loss(g, standard, units)[1], guess)
        assert difference < 1e-5


def test_without_columns_it_is_the_student_t_of_scipy():
    units = 0.7 * np.random.default_rng(3).standard_t(5.0, 5_000) + 0.02
    line = fit_scale_line(np.empty((5_000, 0)), units)
    df, location, scale = scipy.stats.t.fit(units)
    assert line.df == pytest.approx(df, rel=0.02)
    assert np.exp(line.bias) == pytest.approx(scale, rel=0.01)
    assert line.drift * np.exp(line.bias) == pytest.approx(location, abs=0.002)


def test_how_large_a_column_is_does_not_matter():
    rows, units = simulated(800)
    line, other = fit_scale_line(rows, units), fit_scale_line(1000 * rows - 7, units)
    unit = np.ones(800)
    np.testing.assert_allclose(
        line.predictive(rows, unit).scale, other.predictive(1000 * rows - 7, unit).scale, rtol=1e-3
    )


def test_rows_with_something_missing_do_not_count():
    rows, units = simulated(500)
    holes, returns = rows.copy(), units.copy()
    holes[10, 1], returns[20] = np.nan, np.nan
    kept = np.delete(np.arange(500), [10, 20])
    np.testing.assert_array_equal(
        fit_scale_line(holes, returns).weights, fit_scale_line(rows[kept], units[kept]).weights
    )


@pytest.mark.parametrize("units", [np.zeros(40), np.full(40, 2.0), np.empty(0)], ids=["zero", "one value", "none"])
def test_returns_without_any_spread_still_give_a_distribution(units):
    line = fit_scale_line(np.ones((len(units), 2)), units)
    said = line.predictive(np.ones((1, 2)), np.array([0.01]))
    assert np.isfinite([said.location, said.scale, said.df]).all()
    assert (said.scale > 0).all()


def test_what_is_said_is_in_the_units_of_the_row():
    rows, units = simulated(500)
    line = fit_scale_line(rows, units)
    one, ten = line.predictive(rows, np.full(500, 0.01)), line.predictive(rows, np.full(500, 0.1))
    np.testing.assert_allclose(ten.quantile(0.9), 10 * one.quantile(0.9))
