from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from app.domain.distribution import Quantiles, StudentT
from app.domain.forecast import Bands, Forecast
from tests.registry.models import a_forecast

VALUES = tuple(np.linspace(-0.03, 0.04, 11).tolist())


def of_quantiles() -> Forecast:
    forecast = a_forecast()
    step = replace(forecast.steps[0], location=VALUES[5], scale=None, df=None, quantiles=VALUES)
    return replace(forecast, steps=(step,))


@pytest.mark.parametrize("forecast", [a_forecast(), of_quantiles()], ids=["student_t", "quantiles"])
def test_a_stored_forecast_comes_back_as_it_was(forecast):
    again = Forecast.from_dict(json.loads(json.dumps(forecast.to_dict())))
    assert again == forecast
    np.testing.assert_array_equal(again.predictive.quantile(0.2), forecast.predictive.quantile(0.2))


def test_each_kind_of_distribution_is_kept_as_it_is():
    assert isinstance(a_forecast().predictive, StudentT)
    said = of_quantiles().predictive
    assert isinstance(said, Quantiles)
    np.testing.assert_array_equal(said.values, [[VALUES]])


def test_a_forecast_stored_before_there_were_quantiles_is_read():
    body = a_forecast().to_dict()
    del body["steps"][0]["quantiles"]
    assert Forecast.from_dict(body) == a_forecast()


@pytest.mark.parametrize("levels", [[[80.0]], [[80.0, 82.0, 84.0]], [80.0]])
def test_a_band_that_is_no_pair_of_levels_is_refused_where_it_is_read(levels):
    body = a_forecast().to_dict()
    body["bands"]["levels"] = levels
    with pytest.raises((TypeError, ValueError)):
        Forecast.from_dict(body)


def test_a_level_that_was_kept_is_shown_as_it_is_and_one_between_by_a_line():
    bands = Bands(levels=((80.0, 84.0), (90.0, 92.0)))
    forecast = replace(a_forecast(), bands=bands)
    shown = [forecast.shown_level(forecast.steps[0], level) for level in (0.0, 40.0, 80.0, 85.0, 90.0, 95.0, 100.0)]
    assert shown == [0.0, 42.0, 84.0, 88.0, 92.0, 96.0, 100.0]
