from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from app.domain.scorecard import Scorecard
from app.domain.spec import NetworkSpec, Target
from app.evaluation.charts import predictions
from app.evaluation.verdict import judge
from tests.evaluation.cases import made_up_backtest

SPEC = NetworkSpec()
GOOD = made_up_backtest()


def losses_of(result) -> dict[str, float]:
    columns = predictions([result])
    return dict(zip(columns["session"], columns["crps"], strict=True))


def test_a_model_that_is_significantly_better_has_earned_it():
    card = judge([GOOD], SPEC)
    assert card.reasons == ()
    assert card.earned_champion
    assert card.skill.beats_baseline
    assert card.skill.n == 600
    assert card.skill.dm_p == card.tests["ewma_t"]["dm_p"] < 0.05
    assert (card.skill.vs, card.skill.crps_vs) == ("persistence", "ewma_t")
    assert card.skill.crps == card.tests["ewma_t"]["crps_gain"] < card.tests["persistence"]["crps_gain"]
    assert [c.level for c in card.calibration] == [80, 90, 95]
    assert abs(card.calibration[0].empirical - 0.8) < 0.05


def test_the_scorecard_is_json_without_nan():
    card = judge([GOOD], SPEC, champion_crps={})
    again = Scorecard.from_dict(json.loads(json.dumps(card.to_dict(), allow_nan=False)))
    assert (again.skill, again.confidence_set, again.pit) == (card.skill, card.confidence_set, card.pit)


def test_a_scorecard_of_before_the_confidence_set_is_still_read():
    written = judge([GOOD], SPEC).to_dict()
    del written["confidence_set"], written["pit"], written["skill"]["crps_vs"]
    again = Scorecard.from_dict(written)
    assert (again.confidence_set, again.pit, again.skill.crps_vs) == (None, {}, "ewma_t")


def test_only_who_may_be_the_best_is_in_the_confidence_set():
    chosen = judge([GOOD], SPEC).confidence_set
    assert (chosen.level, chosen.metric, chosen.included) == (90, "crps", ("model",))
    assert chosen.p["model"] == 1.0
    assert max(chosen.p[name] for name in ("persistence", "ewma_t", "drift")) < 0.1


def test_the_baseline_is_fixed_beforehand_and_not_the_best_in_hindsight():
    better = replace(GOOD, contestants={**GOOD.contestants, "garch_t": GOOD.contestants["model"]})
    worse = replace(GOOD, contestants={**GOOD.contestants, "model": GOOD.contestants["ewma_t"]})
    assert judge([better], SPEC).reasons == ()
    assert judge([worse], SPEC).reasons == ("not_significantly_better",)


@pytest.mark.parametrize("count", [1, 29, 30])
def test_a_handful_of_sessions_makes_a_card_without_a_test(count):
    card = judge([made_up_backtest(count)], SPEC)
    assert (card.confidence_set is None) is (count < 30)
    assert (card.tests["ewma_t"]["dm_p"] is None) is (count < 30)
    assert json.dumps(card.to_dict(), allow_nan=False)


def test_a_target_that_never_moves_makes_a_card_without_nan():
    flat = replace(GOOD, actual=np.zeros_like(GOOD.actual), usual_change=np.zeros(600), range_variance=np.zeros(600))
    card = judge([flat], SPEC)
    assert json.dumps(card.to_dict(), allow_nan=False)
    assert card.contestants["model"]["rmse_ratio"] is card.contestants["model"]["mase"] is None
    assert "rmse_ratio_too_high" in card.reasons


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (made_up_backtest(249), "too_few_sessions"),
        (made_up_backtest(history=749), "too_few_sessions"),
        (made_up_backtest(model_location=0.003, baseline_scale=4.0), "rmse_ratio_too_high"),
        (made_up_backtest(model_scale=1.6), "not_significantly_better"),
        (made_up_backtest(model_scale=1.5, baseline_scale=1.0), "not_significantly_better"),
        (made_up_backtest(model_scale=2.2, baseline_scale=5.0), "implausible_volatility"),
        (made_up_backtest(model_scale=0.4, baseline_scale=9.0), "implausible_volatility"),
    ],
)
def test_each_reason_alone_keeps_it_from_being_champion(result, reason):
    assert judge([result], SPEC).reasons == (reason,)


def test_just_enough_sessions_are_enough():
    assert judge([made_up_backtest(250, history=750)], SPEC).reasons == ()


def test_only_the_close_may_be_champion():
    assert judge([GOOD], replace(SPEC, targets=(Target(field="high"),))).reasons == ("target_is_not_close",)


def test_a_challenger_must_not_be_worse_than_the_champion():
    equal, better = losses_of(GOOD), {session: 0.9 * loss for session, loss in losses_of(GOOD).items()}
    assert judge([GOOD], SPEC, champion_crps=equal).reasons == ()
    card = judge([GOOD], SPEC, champion_crps=better)
    assert card.reasons == ("worse_than_champion",)
    np.testing.assert_allclose(card.tests["champion"]["crps_gain"], 1 - 1 / 0.9)
    assert card.tests["champion"]["n"] == 600


def test_a_champion_with_too_few_common_sessions_cannot_be_compared():
    few = dict(list(losses_of(GOOD).items())[:249])
    assert judge([GOOD], SPEC, champion_crps=few).reasons == ("champion_not_comparable",)
    enough = dict(list(losses_of(GOOD).items())[:250])
    assert judge([GOOD], SPEC, champion_crps=enough).reasons == ()


def test_a_future_that_is_not_known_is_not_judged():
    actual = GOOD.actual.copy()
    actual[-1] = np.nan
    assert judge([replace(GOOD, actual=actual)], SPEC).skill.n == 599
