"""A scorecard is about total returns, and a dividend to come moves nothing of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.dataset.prepare import prepare
from app.domain.distribution import StudentT
from app.domain.history import Bars
from app.domain.order import Evaluation
from app.domain.scorecard import Scorecard
from app.domain.spec import NetworkSpec
from app.evaluation.backtest import Backtest
from app.evaluation.splits import split
from app.evaluation.verdict import judge
from app.training.play import play
from tests.dataset.series import made_up_bars, paying

SPEC = NetworkSpec()
BARS = made_up_bars(900)
PAYING = paying(BARS, every=60, share=0.01)


def played(bars: Bars) -> Backtest:
    """Rivals beside a network that says what EWMA does."""
    dataset = prepare(bars, SPEC)
    evaluation = Evaluation(kind="walk_forward", n_windows=1, step_size=150)
    cut = split(evaluation, dataset.sessions, first_origin=dataset.first_origin, horizon=1)
    scale = 0.8 * dataset.sigma[cut.tested, None]
    said = StudentT(np.zeros_like(scale), scale, np.full_like(scale, 5.0))
    (lead,) = play(cut, dataset, bars, [(said,)])
    return lead


@pytest.fixture(scope="module")
def lead() -> Backtest:
    return played(PAYING)


def card(result: Backtest) -> Scorecard:
    return judge((result,), SPEC)


def test_what_came_is_the_total_return_from_the_quoted_close(lead):
    np.testing.assert_array_equal(lead.last_value, PAYING.close[lead.origins])
    returns = np.log(PAYING.adj_close[lead.origins + 1] / PAYING.adj_close[lead.origins])
    np.testing.assert_allclose(lead.actual[:, 0], returns, atol=1e-12)


def test_rivals_and_figures_are_those_of_bars_that_pay_in_the_price(lead):
    growth = PAYING.adj_close / PAYING.close
    columns = {name: PAYING.column(name) * growth for name in ("open", "high", "low", "close")}
    other = played(replace(PAYING, **columns))
    assert other.contestants.keys() == lead.contestants.keys() >= {"garch_t", "har_range_t", "moving_average"}
    for name, said in lead.contestants.items():
        np.testing.assert_allclose(said.quantile(0.05), other.contestants[name].quantile(0.05), rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(lead.range_variance, other.range_variance)


def test_a_dividend_to_come_restates_all_adjusted_closes_and_leaves_the_scorecard_as_it_was(lead):
    restated = played(replace(PAYING, adj_close=PAYING.adj_close * 0.9731))
    before, after = card(lead), card(restated)
    assert before.contestants.keys() == after.contestants.keys()
    for name, figures in before.contestants.items():
        for figure, value in figures.items():
            unmoved = value if value is None else pytest.approx(value, rel=1e-5)
            assert after.contestants[name][figure] == unmoved, (name, figure)
    assert after.reasons == before.reasons
