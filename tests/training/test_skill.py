from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from arch.data import sp500

from app.dataset.prepare import prepare
from app.domain.history import Bars
from app.domain.order import Evaluation
from app.domain.spec import NetworkSpec
from app.evaluation.verdict import judge
from app.training.fit import make_learners
from app.training.walk import walk_forward
from tests.training.networks import ignore

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


def test_the_default_preset_earns_champion_on_the_sp500():
    table = sp500.load()
    names = ("Open", "High", "Low", "Close", "Adj Close", "Volume")
    columns = [table[name].to_numpy(np.float64) for name in names]
    bars = Bars(table.index.to_numpy().astype("datetime64[D]"), *columns)
    dataset = prepare(bars, NetworkSpec())
    played, _ = walk_forward(dataset, bars, Evaluation(), make_learners(dataset), ignore)
    card = judge(played, dataset.spec)
    assert card.reasons == ()
    assert card.skill.n == 1000
    assert card.tests["ewma_t"]["crps_gain"] > 0.005
    assert "model" in card.confidence_set.included
