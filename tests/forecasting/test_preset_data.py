"""Every preset can be filled by the bars that it was made for."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pytest

from app.domain.order import TrainingOrder
from app.domain.presets import PRESETS
from app.errors import NotEnoughHistory
from app.evaluation.correlation import correlation_of
from app.forecasting.market_data import RawBars, check_order
from app.prices.files import FilePrices

BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
DATA = Path(os.environ.get("MORROW_REFERENCE_DATA", BESIDE))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the reference market data are not beside the checkout"),
]


@lru_cache
def read(ticker: str) -> RawBars:
    return RawBars(history=FilePrices(DATA / "seeds").history(ticker, now=NOW), snapshot_id=None)


def ordered(preset: str, **spec: object) -> tuple[TrainingOrder, RawBars]:
    ticker = PRESETS[preset].ticker or "MSFT"
    body = {"ticker": ticker, "preset": preset, "data": {"source": "files"}, "spec": spec}
    order = TrainingOrder.from_dict(body)
    return order, replace(read(ticker), peers={peer: read(peer) for peer in order.spec.peers})


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_bars_that_a_preset_names_fill_its_order(preset: str) -> None:
    order, bars = ordered(preset)
    check_order(order, bars)
    assert len(bars.audited_for(order.spec, start=order.data.start).within(order.data)) > 1000


def test_the_year_that_is_written_step_by_step_is_all_that_can_be_scored() -> None:
    order, bars = ordered("ibm-sequence", horizon=252)
    with pytest.raises(NotEnoughHistory) as error:
        check_order(order, bars)
    assert error.value.facts == {"have": 251, "need": 252}


def test_the_largest_companies_moved_together() -> None:
    order, bars = ordered("msft-peers")
    market = bars.audited_for(order.spec, start=order.data.start)
    found = correlation_of(market.history, market.peers, until=datetime(2022, 12, 8, tzinfo=UTC).date())
    assert {item["ticker"] for item in found["items"]} == set(order.spec.peers)
    assert all(0.4 < item["returns"] < 0.9 and item["prices"] > 0.7 for item in found["items"])
    assert found["last_session"] == "2022-12-08"


def test_sessions_without_trade_are_left_out_of_bitcoin_beside_stocks() -> None:
    order, bars = ordered("btc-lstm", peers=["MSFT"], peer_features=["close"])
    market = bars.audited_for(order.spec)
    check_order(order, bars)
    assert market.history.last_session.weekday() < 5
    assert market.history.last_session <= min(bars.history.last_session, bars.peers["MSFT"].history.last_session)
