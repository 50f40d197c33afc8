from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import scipy.stats

from app.domain.distribution import PROBABILITIES, Predictive, Quantiles, StudentT, concatenate

T = StudentT(np.array([[0.001, -0.002]]), np.array([[0.01, 0.02]]), np.array([[5.0, 5.0]]))
UNEVEN = np.array([-0.09, -0.05, -0.03, -0.02, -0.008, 0.001, 0.006, 0.012, 0.015, 0.02, 0.024])


def quantiles_of(said: Predictive) -> Quantiles:
    return Quantiles(np.stack([said.quantile(p) for p in PROBABILITIES], axis=-1))


def uneven() -> Quantiles:
    """Two origins, one step: a long lower tail, and twice as wide."""
    return Quantiles(np.stack([UNEVEN, 2 * UNEVEN])[:, None])


def origins_of(said: Predictive) -> list[Predictive]:
    """The distributions of each origin by themselves."""
    kept = [getattr(said, field.name) for field in fields(said)]
    return [type(said)(*(one[row : row + 1] for one in kept)) for row in range(len(said.location))]


def test_quantiles_of_a_student_t_of_five_degrees_are_that_student_t():
    said = quantiles_of(T)
    for p in (1e-5, 0.003, 0.07, 0.3, 0.5, 0.81, 0.9999):
        np.testing.assert_allclose(said.quantile(p), T.quantile(p), atol=1e-9)
    for move in (-0.2, -0.01, 0.0, 0.0123, 0.3):
        np.testing.assert_allclose(said.cdf(move), T.cdf(move), atol=1e-9)
    np.testing.assert_allclose(said.volatility, T.volatility)
    np.testing.assert_allclose(said.prob_up, T.prob_up)
    np.testing.assert_allclose(said.location, T.location, atol=1e-12)


@pytest.mark.parametrize("said", [T, uneven()], ids=["student_t", "quantiles"])
class TestEveryDistribution:
    def test_never_crosses(self, said):
        points = np.stack([said.quantile(p) for p in np.linspace(0.0005, 0.9995, 400)])
        assert (np.diff(points, axis=0) > 0).all()

    def test_the_probability_below_a_quantile_is_its_own(self, said):
        for p in (0.0001, 0.01, 0.04, 0.5, 0.6, 0.975, 0.99, 0.9995):
            np.testing.assert_allclose(said.cdf(said.quantile(p)), p, rtol=1e-9)

    def test_many_probabilities_are_answered_as_one_after_the_other(self, said):
        asked = (0.001, 0.2, 0.5, 0.77, 0.999)
        for one in origins_of(said):
            together = one.quantile(np.array(asked)[:, None])
            np.testing.assert_array_equal(together, np.concatenate([one.quantile(p) for p in asked]))

    def test_the_median_is_its_location(self, said):
        np.testing.assert_allclose(said.quantile(0.5), said.location, atol=1e-15)

    def test_volatility_is_that_of_draws(self, said):
        p = (np.arange(200_000) + 0.5)[:, None] / 200_000
        draws = np.stack([one.quantile(p) for one in origins_of(said)], axis=1)
        np.testing.assert_allclose(said.volatility, draws.std(axis=0), rtol=2e-3)

    def test_the_chance_of_a_rise_is_what_lies_above_zero(self, said):
        np.testing.assert_allclose(said.prob_up, 1 - said.cdf(0.0))

    def test_each_origin_may_be_asked_for_a_probability_of_its_own(self, said):
        p = np.linspace(0.2, 0.7, said.location.size).reshape(said.location.shape)
        np.testing.assert_allclose(said.cdf(said.quantile(p)), p)


def test_the_quantiles_that_a_network_named_are_answered_as_named():
    for p, value in zip(PROBABILITIES, UNEVEN, strict=True):
        np.testing.assert_allclose(uneven().quantile(p)[0], value, atol=1e-15)


def test_equal_quantiles_are_a_jump():
    said = Quantiles(np.array([[[*([-0.02] * 6), *([0.03] * 5)]]]))
    assert said.cdf(-0.03) == 0.0
    assert said.cdf(0.04) == 1.0
    assert np.isfinite(said.volatility).all()


def test_tails_are_those_of_a_student_t_of_five_degrees():
    said = quantiles_of(StudentT(np.zeros((1, 1)), np.ones((1, 1)), np.full((1, 1), 5.0)))
    np.testing.assert_allclose(said.quantile(0.0001), scipy.stats.t.ppf(0.0001, 5.0))


def test_predictives_of_one_kind_are_joined_in_their_order():
    together = concatenate([uneven(), uneven()])
    assert isinstance(together, Quantiles)
    np.testing.assert_array_equal(together.values[2:], uneven().values)
    np.testing.assert_array_equal(concatenate([T, T]).location, np.concatenate([T.location, T.location]))
