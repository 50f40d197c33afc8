from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.evaluation.metrics import qlike
from app.evaluation.standing import first_errors, histograms, standing
from tests.evaluation.cases import made_up_backtest

RESULT = made_up_backtest(model_location=0.001)


def test_ratios_and_skill_are_to_repeating_the_last_value():
    table = standing(RESULT)
    flat, model = table["persistence"], table["model"]
    assert (flat["rmse_ratio"], flat["mae_ratio"], flat["skill"]) == (1, 1, 0)
    errors = 100 * np.expm1(RESULT.actual[:, 0])
    ours = 100 * (np.exp(0.001) - np.exp(RESULT.actual[:, 0]))
    assert model["rmse_ratio"] == pytest.approx(np.sqrt(np.mean(ours**2) / np.mean(errors**2)))
    assert model["mae_ratio"] == pytest.approx(np.mean(np.abs(ours)) / np.mean(np.abs(errors)))
    assert model["skill"] == pytest.approx(1 - model["rmse_ratio"])
    assert model["skill_lower"] < model["skill"] < model["skill_upper"]
    assert model["mase"] == pytest.approx(np.mean(np.abs(ours)) / 0.8)


def test_an_unknown_future_counts_nowhere():
    actual, usual = RESULT.actual.copy(), RESULT.usual_change.copy()
    actual[:100], usual[:100] = np.nan, 0.0
    part = replace(RESULT, actual=actual, usual_change=usual, range_variance=np.full(600, 1e-4))
    assert len(first_errors(part, "model")) == 500
    assert [name for name, value in standing(part)["model"].items() if value is None] == []
    assert sum(histograms(part)["model"]) == pytest.approx(1)


def test_range_variances_are_brought_to_the_level_of_squared_returns():
    assert standing(RESULT)["model"]["qlike_range"] is None
    ranges = np.random.default_rng(7).uniform(0.5, 1.5, 600)
    tables = [standing(replace(RESULT, range_variance=size * ranges))["model"] for size in (1.0, 1e-4)]
    assert tables[0]["qlike_range"] == pytest.approx(tables[1]["qlike_range"])
    level = np.mean(RESULT.actual[:, 0] ** 2) / np.mean(ranges)
    assert tables[0]["qlike_range"] == pytest.approx(np.mean(qlike(RESULT.contestants["model"], level * ranges)))


def test_every_contestant_has_a_histogram_of_ten_bins():
    charts = histograms(RESULT)
    assert set(charts) == {"lower", *RESULT.contestants}
    assert charts["lower"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert all(len(column) == 10 for column in charts.values())
