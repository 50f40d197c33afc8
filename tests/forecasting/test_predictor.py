"""What is served reads no more bars than count, and as many as count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from app.dataset.prepare import prepare
from app.dataset.scaling import Scaler, Scaling, fit_scaler
from app.domain.history import Bars
from app.domain.spec import NetworkSpec
from app.forecasting.predictor import MEMORY_BARS, Predictor
from tests.forecasting.conftest import make_bars

SPEC = NetworkSpec(features=("range", "rsi"), peers=("PEER",), window=10)
COLUMNS = 20


class Asked:
    """A network that says nothing and keeps what it was asked."""

    def run(self, windows: np.ndarray) -> np.ndarray:
        self.windows = windows
        return np.zeros((len(windows), SPEC.reach, 3), np.float32)


def asked(bars: Bars, peer: Bars) -> np.ndarray:
    """The window that is asked about, unscaled."""
    network, scaling = Asked(), Scaling(features=Scaler("minmax", np.zeros(COLUMNS), np.ones(COLUMNS)))
    Predictor(SPEC, scaling, cast(Any, network)).predict(bars, {"PEER": peer})
    return network.windows[0]


@pytest.mark.parametrize("every", [1, 3, 12])
def test_a_peer_that_is_seldom_traded_is_served_as_it_was_learnt_from(every: int) -> None:
    bars = make_bars(2400)
    peer = make_bars(2400, seed=8).rows(slice(None, None, -every))
    peer = peer.rows(slice(None, None, -1))
    whole = prepare(bars, SPEC, {"PEER": peer})
    np.testing.assert_allclose(asked(bars, peer), whole.features[-SPEC.window :], rtol=1e-5, atol=1e-6)


def test_bars_further_back_than_the_memory_are_not_even_read() -> None:
    bars, peer = make_bars(2400), make_bars(2400, seed=8)
    oldest = np.arange(2400) < 2400 - MEMORY_BARS - SPEC.window
    broken = (replace(one, close=np.where(oldest, np.nan, one.close)) for one in (bars, peer))
    np.testing.assert_array_equal(asked(*broken), asked(bars, peer))


def test_inputs_that_leave_what_was_learnt_from_are_named_with_the_peer_they_are_of() -> None:
    spec = NetworkSpec(features=("close", "rsi"), peers=("PEER",), window=10)
    bars, peer = make_bars(300), make_bars(300, seed=8)
    learnt = prepare(bars, spec, {"PEER": peer})
    predictor = Predictor(spec, Scaling(features=fit_scaler("minmax", learnt.features[:-20][40:])), cast(Any, Asked()))
    rising = replace(peer, close=np.append(peer.close[:-1], 10 * peer.close.max()))
    calm = predictor.unseen_inputs(predictor.read(bars.rows(slice(0, 270)), {"PEER": peer.rows(slice(0, 270))}))
    assert calm == ()
    assert "PEER:close" in predictor.unseen_inputs(predictor.read(bars, {"PEER": rising}))
