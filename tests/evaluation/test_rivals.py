from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from app.dataset.features import build_features
from app.dataset.targets import future_log_returns
from app.dataset.volatility import ewma_volatility, log_returns
from app.domain.student_t import fit_spread
from app.evaluation.classical import garch_t
from app.evaluation.rivals import Evidence, ewma_t, rivals
from app.evaluation.splits import Fold, Split
from tests.dataset.series import made_up_bars, with_other_future

COUNT = 700
BARS = made_up_bars(COUNT)
NAMES = ("persistence", "ewma_t", "drift", "moving_average", "garch_t", "gjr_t", "har_range_t")


def evidence(bars=BARS, *, horizon: int = 1, field: str = "close", every: int = 1) -> Evidence:
    """What ``bars`` say at every session, or at every second one, as if peers knew only these."""
    values = bars.column(field)
    places = np.arange(0, COUNT, every)
    return Evidence(
        targets=future_log_returns(values, horizon)[places],
        sigma=ewma_volatility(log_returns(values))[places],
        values=values,
        places=places,
        ranges=build_features(bars, ("range",))[places],
    )


def folds(*cuts: int, end: int, horizon: int = 1, first: int = 80) -> Split:
    edges = [*cuts, end]
    tests = [range(a, b) for a, b in pairwise(edges)]
    return Split(tuple(Fold(range(first, test.start - horizon + 1), test) for test in tests), {})


CUT = folds(400, 550, end=COUNT - 1)


def test_every_rival_forecasts_every_tested_session():
    found = rivals(CUT, evidence())
    assert tuple(found.said) == NAMES
    assert found.fallbacks == {"garch_t": 0, "gjr_t": 0}
    for name, said in found.said.items():
        assert said.location.shape == said.scale.shape == said.df.shape == (299, 1), name
        assert np.isfinite(said.location).all() and (said.scale > 0).all() and (said.df > 2).all(), name


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("origin", [520, 549, 560])
def test_nothing_after_an_origin_moves_what_any_rival_said_there(origin, horizon):
    cut = folds(400, 550, end=COUNT - 1, horizon=horizon)
    before = rivals(cut, evidence(horizon=horizon)).said
    after = rivals(cut, evidence(with_other_future(BARS, origin), horizon=horizon)).said
    for name in NAMES:
        for part in ("location", "scale", "df"):
            ours, theirs = getattr(before[name], part), getattr(after[name], part)
            np.testing.assert_array_equal(ours[: origin - 399], theirs[: origin - 399], err_msg=name)
        if name not in {"persistence", "drift"}:
            assert before[name].scale[origin - 398, 0] != after[name].scale[origin - 398, 0], name


def test_persistence_is_as_wide_everywhere_and_ewma_t_as_wide_as_lately():
    known, (fold, _) = evidence(), CUT.folds
    said = rivals(CUT, known).said
    flat, lately = said["persistence"], said["ewma_t"]
    assert not flat.location.any() and not lately.location.any()
    for fitted in (slice(0, 150), slice(150, 299)):
        assert np.ptp(flat.scale[fitted]) == 0 < np.ptp(lately.scale[fitted])
    trained = known.targets[80:400]
    scale, df = fit_spread(trained, np.ones(320))
    np.testing.assert_allclose([flat.scale[0, 0], flat.df[0, 0]], [scale[0], df[0]], rtol=1e-3)
    np.testing.assert_array_equal(ewma_t(known.targets, known.sigma, fold).scale, lately.scale[:150])
    scale, _ = fit_spread(trained, known.sigma[80:400])
    np.testing.assert_allclose(lately.scale[:150, 0], scale[0] * known.sigma[400:550])


def test_the_drift_goes_on_and_the_average_of_a_month_is_gone_back_to():
    said = rivals(folds(400, end=COUNT - 1, horizon=2), evidence(horizon=2)).said
    drift = evidence(horizon=2).targets[80:399, 0].mean()
    np.testing.assert_allclose(said["drift"].location, np.tile([drift, 2 * drift], (299, 1)))
    month = np.log(BARS.close[429:451].mean() / BARS.close[450])
    np.testing.assert_allclose(said["moving_average"].location[50], [month, month])
    np.testing.assert_array_equal(said["moving_average"].scale, said["ewma_t"].scale)


def test_garch_sees_the_tickers_own_sessions_where_rows_leave_some_out():
    known = evidence(every=2)
    cut = folds(200, 275, end=len(known.places) - 1)
    own = garch_t(np.diff(np.log(BARS.close)), [400, 550], stop=COUNT - 3)
    np.testing.assert_array_equal(rivals(cut, known).said["garch_t"].scale, own.said.scale[::2])


def test_the_ranges_make_the_line_narrow_when_they_are():
    said = rivals(CUT, evidence()).said
    errors = evidence().targets[CUT.tested, 0]
    for name in ("persistence", "ewma_t"):
        losses = [
            np.mean(np.log(said[rival].scale[:, 0]) - one_density(errors / said[rival].scale[:, 0]))
            for rival in ("har_range_t", name)
        ]
        assert losses[0] < losses[1], name


def one_density(units: np.ndarray) -> np.ndarray:
    return -3.0 * np.log1p(units**2 / 5)


def test_without_ranges_nobody_reads_them():
    assert "har_range_t" not in rivals(CUT, replace(evidence(), ranges=None)).said


@pytest.mark.parametrize("field", ["high", "volume"])
def test_every_positive_field_can_be_foretold(field):
    said = rivals(CUT, replace(evidence(field=field), ranges=None)).said
    for name in NAMES[:-1]:
        assert np.isfinite(said[name].quantile(0.01)).all() and np.isfinite(said[name].volatility).all(), name


def test_a_value_that_never_moved_is_foretold_within_a_basis_point_or_so():
    bars = replace(BARS, **{name: np.full(COUNT, 10.0) for name in ("open", "high", "low", "close")})
    found = rivals(CUT, evidence(bars))
    assert found.fallbacks == {"garch_t": 2, "gjr_t": 2}
    for name, said in found.said.items():
        assert ((said.scale > 0) & (said.scale < 0.01)).all(), name


def test_the_spread_of_far_steps_is_that_of_a_fit_of_each():
    known, (fold,) = evidence(horizon=60), folds(500, end=630).folds
    said = ewma_t(known.targets, known.sigma, fold)
    steps = np.arange(1, 61)
    past = np.arange(80, 500)[:, None] + steps <= 500
    scale, _ = fit_spread(np.where(past, known.targets[80:500], np.nan), known.sigma[80:500])
    np.testing.assert_allclose(said.scale[0], scale * known.sigma[500] * np.sqrt(steps), rtol=0.05)
    np.testing.assert_allclose(said.scale[0, [0, 29, 59]], (scale * known.sigma[500] * np.sqrt(steps))[[0, 29, 59]])
