"""A backtest says what a training would, and leaves nothing behind."""

from __future__ import annotations

import json

import pytest

from app.errors import NoModelYet
from app.forecasting.market_data import latest_bars
from app.forecasting.services import Services
from app.registry import versions
from tests.forecasting.conftest import TestSource, clock, make_bars, services, source
from tests.training.test_train import order, train

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]
__all__ = ["clock", "services", "source"]


@pytest.mark.parametrize("refit", [True, False])
def test_a_backtest_gives_the_scorecard_of_the_training_and_registers_nothing(
    services: Services, source: TestSource, refit: bool
) -> None:
    import keras

    from app.training.backtest import backtest_model

    source.bars["AAA"] = make_bars(900)
    wanted = order(evaluation={"kind": "walk_forward", "n_windows": 2, "step_size": 60, "refit": refit})
    keras.utils.clear_session()  # a job has a process of its own; layers are numbered from one again
    bars = latest_bars("AAA", "files", services=services)
    result = backtest_model(wanted, bars, services=services, report=lambda *a, **k: None)
    assert (result["protocol"]["refit"], result["protocol"]["fits"]) == (refit, 2 if refit else 1)
    assert result["data"]["rows"] == 900
    with services.database.read() as tx, pytest.raises(NoModelYet):
        versions.get(tx, "AAA", 1)

    version = train(wanted, services)
    assert version.number == 1
    for part in ("contestants", "tests", "confidence_set", "pit", "protocol", "reasons", "skill", "calibration"):
        told, kept = (json.dumps(card[part], sort_keys=True) for card in (result, version.scorecard))
        assert told == kept, part
