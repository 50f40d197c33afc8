from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from app.domain.distribution import Predictive
from app.domain.student_t import LARGEST_DF, fit_spread, student_t_nll
from app.evaluation.backtest import backtest
from app.evaluation.baselines import drift, persistence
from app.evaluation.charts import predictions
from app.evaluation.metrics import coverage, crps, hit_rate, interval_score, scores
from app.evaluation.splits import Fold, Split
from app.evaluation.tests import diebold_mariano, skill_interval
from tests.evaluation.cases import made_up_backtest


def flat(location: float, scale: float = 0.01, df: float = 5.0, count: int = 4) -> Predictive:
    return Predictive(*(np.full((count, 1), value) for value in (location, scale, df)))


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


def test_coverage_and_interval_score_by_hand():
    said = flat(0.0)
    upper = said.quantile(0.9)[0, 0]
    actual = np.array([[0.0], [0.99 * upper], [1.5 * upper], [-2 * upper]])
    assert coverage(said, actual, 80) == 0.5
    penalties = 2 / 0.2 * (0.5 * upper + upper) / 4
    np.testing.assert_allclose(interval_score(said, actual, 80), 2 * upper + penalties)


def test_the_hit_rate_counts_named_directions_only():
    said = Predictive(np.array([[0.01], [-0.01], [0.0], [0.01]]), np.ones((4, 1)), np.full((4, 1), 5.0))
    assert hit_rate(said, np.array([[0.02], [0.02], [0.02], [np.nan]])) == 0.5


def test_an_unknown_future_does_not_count():
    actual = np.array([[0.01, np.nan], [0.02, np.nan]])
    said = Predictive(np.zeros((2, 2)), np.full((2, 2), 0.01), np.full((2, 2), 5.0))
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


def test_baselines_learn_from_the_training_part_alone():
    random = np.random.default_rng(7)
    targets, sigma = 0.001 + 0.01 * random.standard_t(5, (400, 2)), np.full(400, 0.01)
    fold = Fold(range(0, 300), range(301, 400))
    other = targets.copy()
    other[300:] = 99.0
    for contestant in (persistence, drift):
        ours, theirs = contestant(targets, sigma)(fold), contestant(other, sigma)(fold)
        np.testing.assert_array_equal(ours.scale, theirs.scale)
        np.testing.assert_array_equal(ours.location, theirs.location)
    np.testing.assert_allclose(drift(targets, sigma)(fold).location[0], targets[:300, 0].mean() * np.array([1, 2]))


def test_a_backtest_sets_every_contestant_beside_what_came():
    days = np.datetime64("2020-01-01") + np.arange(100)
    values, targets, sigma = np.arange(1.0, 101), np.random.default_rng(7).normal(size=(100, 1)), np.ones(100)
    cut = Split((Fold(range(0, 70), range(70, 80)), Fold(range(0, 80), range(80, 99))), {"history_sessions": 100})
    contestants = {"model": drift(targets, sigma), "persistence": persistence(targets, sigma)}
    following = np.append(days[1:], np.datetime64("NaT", "D"))
    result = backtest(cut, contestants, field="close", next_sessions=following, values=values, targets=targets)
    assert len(result) == 29
    assert result.sessions[0] == days[71]
    assert result.last_value[0] == values[70]
    assert result.contestants["model"].location.shape == (29, 1)
    columns = predictions([result])
    assert {len(column) for column in columns.values()} == {29}
    np.testing.assert_allclose(columns["actual"][0], 71 * np.exp(targets[70, 0]))


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
    result = made_up_backtest()
    errors = result.actual[:, 0]
    interval = skill_interval(0.9 * errors + 0.001, errors)
    assert interval is not None
    assert interval[0] < 1 - np.sqrt(np.mean((0.9 * errors + 0.001) ** 2) / np.mean(errors**2)) < interval[1]
    assert interval == skill_interval(0.9 * errors + 0.001, errors)
    assert skill_interval(errors[:20], errors[:20]) is None
