from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from app.domain.distribution import Quantiles, StudentT
from app.domain.forecast import Forecast
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
