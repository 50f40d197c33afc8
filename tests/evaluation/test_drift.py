from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from app.evaluation.drift import coverage_drift, drift_of, input_drift, residual_drift, stability


def lingering(n: int, seed: int, columns: int = 3) -> np.ndarray:
    """Inputs that stay high or low for a month, as volatilities do."""
    random = np.random.default_rng(seed)
    values = np.zeros((n, columns))
    for row in range(1, n):
        values[row] = 0.95 * values[row - 1] + 0.3 * random.standard_normal(columns)
    return values


def test_the_index_is_the_sum_over_deciles_of_share_moved_times_its_log():
    learnt = np.arange(1000.0)[:, None]
    recent = np.repeat([50.0, 950.0], [30, 30])[:, None]
    shares = np.full(10, 0.5 / 65)
    shares[[0, 9]] = 30.5 / 65
    moved, same = stability(learnt, [recent, learnt])
    assert moved == pytest.approx(np.sum((shares - 0.1) * np.log(shares / 0.1)), rel=1e-9)
    assert same == pytest.approx(0.0)


def test_inputs_like_those_learnt_are_no_drift_though_they_linger():
    alarms = 0
    for seed in range(20):
        process = lingering(1560, seed)
        alarms += input_drift(process[:1500], process[1500:], ["a", "b", "c"]).state == "alarm"
    assert alarms <= 3


def test_inputs_from_elsewhere_are_an_alarm_that_names_the_columns():
    process = lingering(1560, 1)
    process[1500:, 0] += 5.0
    process[1500:, 1] += 5.0
    sign = input_drift(process[:1500], process[1500:], ["a", "b", "c"])
    assert sign.state == "alarm" and sign.value is not None and sign.value > sign.limits["alarm"] >= 0.25
    columns = sign.detail["columns"]
    assert min(columns["a"], columns["b"]) > columns["c"]
    assert sign.value == pytest.approx(np.mean(list(columns.values())))
    ranked = sorted(columns, key=columns.__getitem__, reverse=True)
    assert sign.detail["worst"] == [{"column": name, "psi": columns[name]} for name in ranked]


def test_of_many_columns_the_worst_are_named():
    process = lingering(1560, 1, columns=7)
    process[1500:, [2, 4, 6]] += [3.0, 9.0, 6.0]
    sign = input_drift(process[:1500], process[1500:], list("abcdefg"))
    assert {entry["column"] for entry in sign.detail["worst"]} == {"c", "e", "g"}


@pytest.mark.parametrize(("learnt", "recent"), [(1500, 59), (299, 60)])
def test_too_few_inputs_tell_nothing(learnt: int, recent: int):
    sign = input_drift(lingering(learnt, 1), 9 + lingering(recent, 2), ["a", "b", "c"])
    assert (sign.state, sign.value, sign.n) == ("too_few", None, recent)
    assert sign.detail == {"columns": {}, "worst": []}


def test_uniform_residuals_are_no_drift_and_others_are():
    random = np.random.default_rng(2)
    assert residual_drift(random.random(250)).state == "ok"
    assert residual_drift(stats.norm.cdf(2.0 * random.standard_normal(250))).state == "alarm"
    few = residual_drift(random.beta(0.2, 0.2, 59))
    assert (few.state, few.value, few.need) == ("too_few", None, 60)
    assert coverage_drift(np.array([])).state == "too_few"


def test_the_p_value_of_residuals_is_that_of_the_asymptotic_test():
    pits = np.random.default_rng(3).random(120) ** 1.2
    assert residual_drift(pits).value == pytest.approx(stats.kstest(pits, "uniform", method="asymp").pvalue)


@pytest.mark.parametrize("held", [200, 215, 225, 240, 250])
def test_the_p_value_of_coverage_is_that_of_the_binomial_test(held: int):
    pits = np.concatenate([np.full(held, 0.5), np.full(250 - held, 0.999)])
    sign = coverage_drift(pits)
    lower, upper = (stats.binomtest(held, 250, 0.9, alternative=side).pvalue for side in ("less", "greater"))
    assert sign.value == pytest.approx(min(1.0, 2 * min(lower, upper)))
    assert sign.state == ("alarm" if sign.value < 0.001 else "warn" if sign.value < 0.05 else "ok")
    assert sign.detail["empirical"] == held / 250


def test_the_worst_sign_is_the_state():
    fine, bad = residual_drift(np.linspace(0.01, 0.99, 99)), residual_drift(np.full(99, 0.5))
    assert drift_of([fine])["state"] == "ok"
    few = coverage_drift(np.array([]))
    assert (drift_of([few, few])["state"], drift_of([few, fine])["state"]) == ("too_few", "ok")
    told = drift_of([fine, bad])
    assert told["state"] == "alarm"
    assert [(sign["name"], sign["state"]) for sign in told["signs"]] == [("residuals", "ok"), ("residuals", "alarm")]
