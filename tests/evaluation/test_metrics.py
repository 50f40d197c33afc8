from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from app.domain.distribution import PROBABILITIES, Predictive, Quantiles, StudentT
from app.domain.student_t import LARGEST_DF, fit_spread, student_t_nll
from app.evaluation.backtest import backtest
from app.evaluation.charts import predictions
from app.evaluation.metrics import (
    coverage,
    crps,
    hit_rate,
    interval_score,
    kupiec_p,
    persistence_likeness,
    pinball,
    probability_integral_transform,
    qlike,
    scores,
)
from app.evaluation.splits import Fold, Split
from app.evaluation.tests import confidence_set, diebold_mariano, skill_intervals
from tests.evaluation.cases import made_up_backtest


def flat(location: float, scale: float = 0.01, df: float = 5.0, count: int = 4) -> Predictive:
    return StudentT(*(np.full((count, 1), value) for value in (location, scale, df)))


def test_rmse_and_mae_of_the_last_value_by_hand():
    actual = np.log(np.array([[1.01], [0.98], [1.0], [1.03]]))
    table = scores(flat(0.0), actual, np.full(4, 100.0))
    np.testing.assert_allclose(table["rmse"], np.sqrt((1 + 4 + 0 + 9) / 4))
    np.testing.assert_allclose(table["mae"], (1 + 2 + 0 + 3) / 4)
    assert table["hit_rate"] is None
    assert table["always_up_rate"] == 2 / 3  # of the three that moved


def test_crps_is_the_integral_it_is_defined_as():
    said, actual = flat(0.002, count=1), np.array([[0.013]])
    grid = np.linspace(-1, 1, 400_001)
    cdf = scipy.stats.t.cdf((grid - 0.002) / 0.01, df=5)
    integral = np.trapezoid((cdf - (grid >= 0.013)) ** 2, grid)
    np.testing.assert_allclose(crps(said, actual)[0, 0], integral, rtol=1e-3)


def test_crps_of_quantiles_is_next_to_that_of_the_distribution_that_they_are_of():
    actual = 0.01 * np.random.default_rng(2).standard_t(4, (3_000, 1))
    said = flat(0.0, count=3_000)
    of_quantiles = Quantiles(np.stack([said.quantile(p) for p in PROBABILITIES], axis=-1))
    assert crps(of_quantiles, actual).mean() == pytest.approx(crps(said, actual).mean(), rel=1e-4)


def test_coverage_and_interval_score_by_hand():
    said = flat(0.0)
    upper = said.quantile(0.9)[0, 0]
    actual = np.array([[0.0], [0.99 * upper], [1.5 * upper], [-2 * upper]])
    assert coverage(said, actual, 80) == 0.5
    penalties = 2 / 0.2 * (0.5 * upper + upper) / 4
    np.testing.assert_allclose(interval_score(said, actual, 80), 2 * upper + penalties)


def test_the_hit_rate_counts_named_directions_only():
    said = StudentT(np.array([[0.01], [-0.01], [0.0], [0.01]]), np.ones((4, 1)), np.full((4, 1), 5.0))
    assert hit_rate(said, np.array([[0.02], [0.02], [0.02], [np.nan]])) == 0.5


def test_an_unknown_future_does_not_count():
    actual = np.array([[0.01, np.nan], [0.02, np.nan]])
    said = StudentT(np.zeros((2, 2)), np.full((2, 2), 0.01), np.full((2, 2), 5.0))
    table = scores(said, actual, np.ones(2))
    assert table["crps"] is not None
    assert table["crps_step_2"] is None


def test_the_student_t_likelihood_is_scipys():
    residuals = np.linspace(-4, 4, 9)
    ours = student_t_nll(residuals, log_scale=np.log(0.7), df=4.2)
    np.testing.assert_allclose(ours, -scipy.stats.t.logpdf(residuals, 4.2, scale=0.7))


def test_the_spread_is_found_again():
    draws = 0.8 * np.random.default_rng(7).standard_t(4, (20_000, 1))
    scale, df = fit_spread(0.01 * draws, np.full(20_000, 0.01))
    np.testing.assert_allclose(scale, 0.8, rtol=0.03)
    np.testing.assert_allclose(df, 4, rtol=0.1)


def test_a_handful_of_residuals_gets_a_normal_spread():
    scale, df = fit_spread(np.array([[0.01], [-0.01], [np.nan]]), np.full(3, 0.01))
    np.testing.assert_allclose(scale, 1.0)
    assert df == LARGEST_DF
    assert fit_spread(np.zeros((100, 1)), np.full(100, 0.01))[0] == 1.0


def test_a_backtest_sets_every_contestant_beside_what_came():
    days = np.datetime64("2020-01-01") + np.arange(100)
    values, targets = np.arange(1.0, 101), np.random.default_rng(7).normal(size=(100, 1))
    cut = Split((Fold(range(0, 70), range(70, 80)), Fold(range(0, 80), range(80, 99))), {"history_sessions": 100})
    contestants = {name: flat(0.0, count=29) for name in ("model", "persistence", "ewma_t")}
    following = np.append(days[1:], np.datetime64("NaT", "D"))
    result = backtest(cut, contestants, field="close", next_sessions=following, values=values, targets=targets)
    assert len(result) == 29
    assert result.sessions[0] == days[71]
    assert result.last_value[0] == values[70]
    assert result.contestants["model"].location.shape == (29, 1)
    changes = np.abs(values * np.expm1(targets[:, 0]))
    np.testing.assert_allclose(
        result.usual_change[[0, 9, 10, 28]], np.repeat([changes[:70].mean(), changes[:80].mean()], 2)
    )
    columns = predictions([result])
    assert {len(column) for column in columns.values()} == {29}
    np.testing.assert_allclose(columns["actual"][0], 71 * np.exp(targets[70, 0]))


def test_pinball_is_the_mean_over_eleven_quantiles():
    said, came = flat(0.001), np.array([[0.0], [0.02], [-0.05], [np.nan]])
    losses = pinball(said, came)
    for row, y in enumerate(came[:3, 0]):
        by_hand = [max(p * (y - q), (p - 1) * (y - q)) for p in PROBABILITIES for q in [said.quantile(p)[0, 0]]]
        np.testing.assert_allclose(losses[row, 0], np.mean(by_hand))
    assert np.isnan(losses[3, 0])


def test_qlike_is_nothing_for_the_right_variance_and_more_for_any_other():
    said = flat(0.0)
    right = said.volatility[:, 0] ** 2
    np.testing.assert_allclose(qlike(said, right), 0, atol=1e-12)
    np.testing.assert_allclose(qlike(said, 2 * right), 2 - np.log(2) - 1)
    assert (qlike(said, np.zeros(4)) > 5).all()


@pytest.mark.parametrize(("outside", "p"), [(100, 1.0), (0, 0.0), (125, 0.0109)])
def test_kupiecs_test_is_sure_of_coverage_that_is_too_high_or_too_low(outside, p):
    np.testing.assert_allclose(kupiec_p(np.arange(1000) >= outside, 90), p, atol=2e-4)
    np.testing.assert_allclose(
        scores(flat(0.0, count=1001), _ending_outside(outside), np.ones(1001))["kupiec_p_90"], p, atol=2e-4
    )


def _ending_outside(count: int) -> np.ndarray:
    """A thousand moves, so many of them far away, and one that is not known."""
    return np.append(np.where(np.arange(1000) < count, 1.0, 0.0), np.nan)[:, None]


@pytest.mark.parametrize("missed", [0, 10, 25, 60])
def test_kupiecs_test_is_the_likelihood_ratio_of_two_binomials(missed):
    inside = np.arange(250) >= missed
    ratio = 2 * np.diff(scipy.stats.binom.logpmf(missed, 250, [0.1, missed / 250]))[0]
    assert kupiec_p(inside, 90) == pytest.approx(scipy.stats.chi2.sf(ratio, 1), abs=1e-6)


def test_what_is_foretold_right_has_a_tenth_of_the_sessions_in_each_tenth():
    draws = 0.01 * np.random.default_rng(7).standard_t(5, (20_000, 1))
    came = np.concatenate([draws, [[np.nan]]])
    np.testing.assert_allclose(probability_integral_transform(flat(0.0, count=20_001), came), 0.1, atol=0.01)
    timid = probability_integral_transform(flat(0.0, 0.005, count=20_001), came)
    assert min(timid[0], timid[-1]) > 0.15
    np.testing.assert_allclose(sum(timid), 1)
    assert probability_integral_transform(flat(0.0, count=1), np.array([[np.nan]])) == []


def test_the_outermost_hits_are_counted_on_their_own_sides():
    low, high = flat(0.0).quantile(0.01)[0, 0], flat(0.0).quantile(0.99)[0, 0]
    table = scores(flat(0.0), np.array([[1.1 * low], [0.9 * low], [1.1 * high], [1.2 * high]]), np.ones(4))
    assert (table["hits_1"], table["hits_99"]) == (0.25, 0.5)


def test_the_lower_losses_have_the_small_p():
    random = np.random.default_rng(7)
    low = random.random(500)
    high = low + 0.1 + 0.2 * random.standard_normal(500)
    better, worse = diebold_mariano(low, high), diebold_mariano(high, low)
    assert better is not None and worse is not None
    assert better.statistic < 0 and better.p < 0.01
    np.testing.assert_allclose(better.p + worse.p, 1.0)


@pytest.mark.parametrize("losses", [np.ones(500), np.arange(10.0)])
def test_without_differences_or_sessions_there_is_no_test(losses):
    assert diebold_mariano(losses, np.ones(len(losses))) is None


def test_the_skill_interval_holds_the_skill_and_is_the_same_every_time():
    errors = made_up_backtest().actual[:, 0]
    ours = np.stack([0.9 * errors + 0.001, errors], axis=1)
    interval, nothing = skill_intervals(ours, errors)
    assert interval is not None
    assert interval[0] < 1 - np.sqrt(np.mean(ours[:, 0] ** 2) / np.mean(errors**2)) < interval[1]
    np.testing.assert_allclose(nothing, 0, atol=1e-12)
    assert skill_intervals(ours, errors) == [interval, nothing]
    np.testing.assert_allclose(skill_intervals(ours[:, :1], errors), [interval])
    assert skill_intervals(ours[:20], errors[:20]) == [None, None]


def test_the_confidence_set_leaves_out_who_is_worse_by_more_than_luck():
    random = np.random.default_rng(7)
    common = random.standard_t(5, 500) ** 2
    losses = {
        "good": common + 0.1 * random.standard_normal(500),
        "as good": common + 0.1 * random.standard_normal(500),
        "worse": common + 0.2 + 0.1 * random.standard_normal(500),
    }
    p = confidence_set({**losses, "twin": losses["good"]})
    assert p is not None
    assert p["worse"] < 0.1 < p["as good"]
    assert p["twin"] == p["good"] >= 0.1
    assert confidence_set(dict.fromkeys(("one", "other"), losses["good"])) == {"one": 1.0, "other": 1.0}
    assert confidence_set({name: one[:29] for name, one in losses.items()}) is None


def test_who_repeats_the_last_value_is_all_persistence_and_who_knows_what_comes_is_none_of_it():
    came, last = np.array([[0.01], [-0.02], [0.03], [np.nan]]), np.full(4, 100.0)
    width = np.full((4, 1), 0.01)
    assert persistence_likeness(StudentT(np.zeros((4, 1)), width, width * 500), came, last) == 1.0
    knowing = StudentT(np.nan_to_num(0.9 * came), width, width * 500)
    assert persistence_likeness(knowing, came, last) < -7
    contrary = StudentT(np.nan_to_num(-came), width, width * 500)
    assert persistence_likeness(contrary, came, last) == pytest.approx(0.5, abs=0.01)
