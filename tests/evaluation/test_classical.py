from __future__ import annotations

import numpy as np
import pytest
from arch import arch_model

from app.evaluation.classical import FEWEST_RETURNS, GarchFit, fit_garch_t, garch_t


def garch_returns(count: int = 900, *, seed: int = 7) -> np.ndarray:
    """Log returns of a GARCH(1,1) with t(5) errors and a leverage effect, about 1 % a session."""
    random = np.random.default_rng(seed)
    shocks = random.standard_t(5, count) * np.sqrt(3 / 5)
    variance, returns = 1e-4, np.empty(count)
    for at in range(count):
        error = np.sqrt(variance) * shocks[at]
        returns[at] = 0.0004 + error
        variance = 2e-6 + (0.05 + 0.08 * (error < 0)) * error**2 + 0.89 * variance
    return returns


RETURNS = garch_returns()


@pytest.mark.parametrize("asymmetric", [False, True])
def test_the_filtered_volatility_is_that_of_the_library(asymmetric):
    found = garch_t(RETURNS, [700], stop=900, asymmetric=asymmetric)
    (fit,) = found.fits
    library = arch_model(100 * RETURNS, o=int(asymmetric), dist="t")
    theirs = [100 * fit.mean, 1e4 * fit.omega, fit.alpha, *([fit.gamma] if asymmetric else []), fit.beta, fit.df]
    # The library starts the recursion from squares around the mean that it is given, ours from those of the fit.
    expected = library.fix(theirs).conditional_volatility[700:] / 100
    np.testing.assert_allclose(found.said.volatility[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(found.said.scale[:, 0], expected * np.sqrt((fit.df - 2) / fit.df), rtol=1e-6)
    np.testing.assert_allclose(found.said.location[:, 0], fit.mean)
    assert (fit.gamma > 0) is asymmetric


@pytest.mark.parametrize("asymmetric", [False, True])
def test_several_steps_add_up_the_variances_that_the_library_expects(asymmetric):
    found = garch_t(RETURNS, [700], stop=701, asymmetric=asymmetric, horizon=10)
    model = arch_model(100 * RETURNS[:700], o=int(asymmetric), dist="t")
    expected = model.fit(disp="off").forecast(horizon=10).variance.to_numpy()[-1] / 1e4
    np.testing.assert_allclose(found.said.volatility[0] ** 2, np.cumsum(expected), rtol=1e-3)
    np.testing.assert_allclose(found.said.location[0], found.fits[0].mean * np.arange(1, 11))


@pytest.mark.parametrize("asymmetric", [False, True])
def test_nothing_from_a_cut_on_moves_what_was_said_before(asymmetric):
    other = RETURNS.copy()
    other[750:] = 0.3 * np.sin(np.arange(150))
    ours = garch_t(RETURNS, [500, 700, 800], stop=900, asymmetric=asymmetric, horizon=3)
    theirs = garch_t(other, [500, 700, 800], stop=900, asymmetric=asymmetric, horizon=3)
    # Row i is the forecast for return 500 + i: the one for return 750 is the last that knows nothing of it.
    for name in ("location", "scale", "df"):
        np.testing.assert_array_equal(getattr(ours.said, name)[:251], getattr(theirs.said, name)[:251])
    assert ours.fits[:2] == theirs.fits[:2]
    assert ours.fits[2] != theirs.fits[2]
    assert ours.said.scale[251, 0] != theirs.said.scale[251, 0]


def test_each_row_is_what_a_fit_at_its_cut_and_the_returns_before_it_say():
    whole = garch_t(RETURNS, [600, 700], stop=901)
    assert whole.said.scale.shape == (301, 1)
    for at in (600, 699):
        alone = garch_t(RETURNS[:at], [600], stop=at + 1)
        np.testing.assert_array_equal(alone.said.scale[-1], whole.said.scale[at - 600])
    np.testing.assert_array_equal(garch_t(RETURNS, [700], stop=901).said.scale, whole.said.scale[100:])


def test_what_cannot_be_fitted_is_answered_by_an_exponential_average_and_says_so():
    few = garch_t(RETURNS, [FEWEST_RETURNS - 1], stop=FEWEST_RETURNS + 20)
    assert [fit.origin for fit in few.fits] == ["ewma"]
    ratio = few.said.scale[1:, 0] ** 2 / few.said.scale[:-1, 0] ** 2
    news = RETURNS[FEWEST_RETURNS - 1 : FEWEST_RETURNS + 19] ** 2
    variances = (few.said.scale[:-1, 0] / few.fits[0].unit) ** 2
    np.testing.assert_allclose(ratio, 0.94 + 0.06 * news / variances)
    flat = garch_t(np.zeros(300), [200], stop=301, horizon=5)
    assert flat.fits[0].origin == "ewma"
    assert np.isfinite(flat.said.scale).all() and (flat.said.scale > 0).all()


def test_a_fit_that_fails_keeps_the_last_good_parameters_and_says_so(monkeypatch):
    good = garch_t(RETURNS, [500, 600, 700], stop=900)
    monkeypatch.setattr(
        "app.evaluation.classical.fit_garch_t",
        lambda known, *, asymmetric: fit_garch_t(known, asymmetric=asymmetric) if len(known) < 600 else None,
    )
    kept = garch_t(RETURNS, [500, 600, 700], stop=900)
    assert [fit.origin for fit in kept.fits] == ["fitted", "kept", "kept"]
    assert kept.fits[2].omega == good.fits[0].omega
    np.testing.assert_array_equal(kept.said.scale, garch_t(RETURNS, [500], stop=900).said.scale)


@pytest.mark.parametrize(("size", "rtol"), [(1e-3, 0.05), (1.0, 0.05), (30.0, 0.05)])
def test_the_unit_of_the_returns_does_not_matter(size, rtol):
    fit, other = fit_garch_t(RETURNS), fit_garch_t(size * RETURNS)
    assert isinstance(fit, GarchFit) and isinstance(other, GarchFit)
    np.testing.assert_allclose(other.omega, size**2 * fit.omega, rtol=rtol)
    np.testing.assert_allclose([other.alpha, other.beta, other.df], [fit.alpha, fit.beta, fit.df], rtol=rtol)


def test_cuts_must_increase_and_know_a_return():
    for cuts, stop in (([0], 10), ([5, 5], 10), ([5], 5)):
        with pytest.raises(ValueError, match="do not increase"):
            garch_t(RETURNS, cuts, stop=stop)
