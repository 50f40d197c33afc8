from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.order import Evaluation, fewest_sessions
from app.errors import InvalidSpec, NotEnoughHistory
from app.evaluation.splits import require_scored, split


def sessions(count: int) -> np.ndarray:
    return np.busday_offset(np.datetime64("2010-01-04"), np.arange(count)).astype("datetime64[D]")


@given(
    bars=st.integers(300, 3000),
    windows=st.integers(1, 8),
    step=st.integers(20, 400),
    horizon=st.integers(1, 10),
    refit=st.booleans(),
)
def test_no_fold_trains_on_a_target_it_is_tested_on_and_the_tests_tile_the_end(bars, windows, step, horizon, refit):
    evaluation = Evaluation(n_windows=windows, step_size=step, refit=refit)
    cut = split(evaluation, sessions(bars), first_origin=85, horizon=horizon)
    for fold in cut.folds:
        last_target_learnt = fold.train[-1] + horizon
        first_target_tested = fold.test[0] + 1
        assert last_target_learnt < first_target_tested
        assert fold.train[0] == 85
        assert len(fold.train) >= 100
    tested = [origin for fold in cut.folds for origin in fold.test]
    assert tested == list(range(bars - 1 - len(tested), bars - 1))
    assert cut.protocol["sessions"] == len(tested)
    assert len(cut.folds) == (cut.protocol["n_windows"] if refit else 1)


def test_a_long_history_gets_the_windows_it_asked_for():
    cut = split(Evaluation(), sessions(5000), first_origin=85, horizon=1)
    assert [len(fold.test) for fold in cut.folds] == [250] * 4
    assert cut.protocol["shrunk"] is False
    assert cut.protocol["last_session"] == str(sessions(5000)[-1])


@pytest.mark.parametrize(
    ("bars", "windows", "step"),
    [(1500, 4, 250), (1499, 3, 250), (750, 1, 250), (749, 1, 249), (560, 1, 60), (559, 1, 111), (300, 1, 60)],
)
def test_fewer_sessions_shrink_the_windows_then_the_step_and_say_so(bars, windows, step):
    cut = split(Evaluation(), sessions(bars), first_origin=85, horizon=1)
    assert (cut.protocol["n_windows"], cut.protocol["step_size"]) == (windows, step)
    assert cut.protocol["shrunk"] is ((windows, step) != (4, 250))
    assert cut.protocol["n_windows_asked"] == 4


@given(first_origin=st.integers(20, 700), horizon=st.integers(1, 60))
def test_the_fewest_sessions_are_enough_and_fewer_are_refused_with_the_numbers(first_origin, horizon):
    need = fewest_sessions(Evaluation(), first_origin=first_origin, horizon=horizon)
    assert split(Evaluation(), sessions(need), first_origin=first_origin, horizon=horizon).folds
    with pytest.raises(NotEnoughHistory) as error:
        split(Evaluation(), sessions(need - 3), first_origin=first_origin, horizon=horizon)
    assert error.value.facts == {"have": need - 3, "need": need}


def test_a_fixed_test_begins_with_the_session_after_train_end():
    days = sessions(1000)
    evaluation = Evaluation(kind="fixed", train_end=days[799].astype(object))
    (fold,) = split(evaluation, days, first_origin=85, horizon=1).folds
    assert fold.train[-1] + 1 == 799
    assert list(fold.test) == list(range(799, 999))


def test_a_train_end_too_early_is_refused_with_what_lies_before_it():
    days = sessions(3000)
    evaluation = Evaluation(kind="fixed", train_end=days[149].astype(object))
    with pytest.raises(NotEnoughHistory) as error:
        split(evaluation, days, first_origin=85, horizon=1)
    assert (error.value.pointer, error.value.facts) == ("/evaluation/train_end", {"have": 150, "need": 186})
    later = Evaluation(kind="fixed", train_end=days[185].astype(object))
    assert len(split(later, days, first_origin=85, horizon=1).folds[0].train) == 100


def test_a_fixed_test_may_be_a_fraction():
    cut = split(Evaluation(kind="fixed", test_fraction=0.2), sessions(1000), first_origin=85, horizon=1)
    assert cut.protocol["sessions"] == 200
    assert cut.protocol["refit"] is False


def test_a_train_end_outside_the_history_is_refused():
    for day in (date(2009, 1, 1), date(2030, 1, 1)):
        with pytest.raises(InvalidSpec, match="does not lie inside"):
            split(Evaluation(kind="fixed", train_end=day), sessions(500), first_origin=85, horizon=1)


@pytest.mark.parametrize(
    ("evaluation", "tested"),
    [
        (Evaluation(kind="fixed", test_fraction=0.1), 100),
        (Evaluation(n_windows=2, step_size=30), 60),
        (Evaluation(kind="fixed", train_end=date(2013, 9, 27)), 25),
    ],
)
def test_a_horizon_that_no_tested_forecast_could_be_scored_over_is_refused(evaluation, tested):
    cut = split(evaluation, sessions(1000), first_origin=85, horizon=1)
    require_scored(cut, horizon=tested)
    with pytest.raises(NotEnoughHistory) as error:
        require_scored(cut, horizon=tested + 1)
    assert (error.value.facts, error.value.pointer) == ({"have": tested, "need": tested + 1}, "/spec/horizon")
