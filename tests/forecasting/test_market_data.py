from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from app.domain.history import PriceHistory
from app.domain.order import DataRange, TrainingOrder
from app.domain.spec import NetworkSpec, Target
from app.errors import InvalidBars, NoBarsYet, NotEnoughHistory, SourceUnavailable, UnknownSource
from app.forecasting.forecast import forecast_ticker
from app.forecasting.market_data import check_order, keep, latest_bars
from app.forecasting.services import Services
from app.registry import snapshots, tickers
from tests.forecasting.conftest import NOW, TestSource, make_bars


def test_fetched_bars_are_kept_and_can_be_loaded_again(services: Services, source: TestSource) -> None:
    source.bars["AAA"] = make_bars(300)
    raw = latest_bars("AAA", "files", services=services)
    again = services.snapshots.load(raw.snapshot_id)
    np.testing.assert_array_equal(again.bars.close, source.bars["AAA"].close)
    with services.database.read() as tx:
        row = snapshots.latest(tx, "AAA", "files")
    assert row is not None and (row["snapshot_id"], row["rows"]) == (raw.snapshot_id, 300)


def test_an_outage_is_bridged_by_the_last_good_bars_and_said(services: Services, source: TestSource) -> None:
    source.bars["AAA"] = make_bars(300)
    before = latest_bars("AAA", "files", services=services)
    source.outage = SourceUnavailable("down", status=503)
    during = latest_bars("AAA", "files", services=services)
    assert during.snapshot_id == before.snapshot_id
    assert during.outage is not None and during.outage["code"] == "source_unavailable"
    with services.database.read() as tx:
        assert tickers.get(tx, "AAA")["source_ok"] is False
    source.outage = None
    assert latest_bars("AAA", "files", services=services).outage is None
    with services.database.read() as tx:
        assert tickers.get(tx, "AAA")["source_ok"] is True


def test_an_outage_with_nothing_kept_is_an_error_worth_a_retry(services: Services, source: TestSource) -> None:
    source.outage = SourceUnavailable("down")
    with pytest.raises(SourceUnavailable) as error:
        latest_bars("AAA", "files", services=services)
    assert error.value.retryable


def test_an_unknown_source_is_refused_with_those_that_exist(services: Services) -> None:
    with pytest.raises(UnknownSource) as error:
        latest_bars("AAA", "nowhere", services=services)
    assert error.value.facts["known"] == ["files", "upload"]


def test_uploaded_bars_are_a_source_of_their_own(services: Services, source: TestSource) -> None:
    with pytest.raises(NoBarsYet):
        latest_bars("AAA", "upload", services=services)
    uploaded = PriceHistory(ticker="AAA", source="upload", bars=make_bars(40))
    kept = keep(uploaded, services=services, now=NOW)
    assert latest_bars("AAA", "upload", services=services).snapshot_id == kept
    assert source.questions == 0


def test_an_order_for_too_short_a_history_is_refused_with_the_numbers(services: Services, source: TestSource) -> None:
    order = TrainingOrder(ticker="AAA", data=DataRange(source="files"))
    for have in (60, 120):
        source.bars["AAA"] = make_bars(have)
        with pytest.raises(NotEnoughHistory) as error:
            check_order(order, latest_bars("AAA", "files", services=services))
        assert error.value.facts == {"have": have, "need": 255}
    source.bars["AAA"] = make_bars(255)
    check_order(order, latest_bars("AAA", "files", services=services))


def test_faults_before_the_start_of_an_order_do_not_count(services: Services, source: TestSource) -> None:
    bars = make_bars(900)
    low = bars.low.copy()
    low[100] = -37.0
    source.bars["AAA"] = replace(bars, low=low)
    raw = latest_bars("AAA", "files", services=services)
    start = date.fromisoformat(str(bars.sessions[101]))
    with pytest.raises(InvalidBars, match=f"start at {start}"):
        check_order(TrainingOrder(ticker="AAA", data=DataRange(source="files")), raw)
    check_order(TrainingOrder(ticker="AAA", data=DataRange(source="files", start=start)), raw)
    assert raw.audited_for(NetworkSpec(), start=start).history.first_session == start


def test_an_order_for_another_field_does_not_need_the_last_close(services: Services, source: TestSource) -> None:
    bars = make_bars(300)
    close = bars.close.copy()
    close[[150, 299]] = np.nan, 0.0
    source.bars["AAA"] = replace(bars, close=close)
    spec = NetworkSpec(features=("open",), targets=(Target(field="open"),))
    market = latest_bars("AAA", "files", services=services).audited_for(spec)
    issued = forecast_ticker(market, version=None, models=services.models, now=NOW, refresh_delay=timedelta(0))
    assert market.history.last_session == date(2024, 3, 5)
    assert issued.last_close == issued.steps[0].last_value == bars.close[298]
    assert np.isfinite(issued.predictive.volatility).all()


def test_bars_without_any_close_cannot_be_forecast_from(services: Services, source: TestSource) -> None:
    bars = make_bars(300)
    source.bars["AAA"] = replace(bars, close=np.full(300, np.nan))
    with pytest.raises(InvalidBars, match="no close"):
        _ = latest_bars("AAA", "files", services=services).history.last_close


def test_a_range_without_bars_is_refused(services: Services, source: TestSource) -> None:
    source.bars["AAA"] = make_bars(300)
    raw = latest_bars("AAA", "files", services=services)
    market = raw.audited_for(NetworkSpec())
    with pytest.raises(NotEnoughHistory, match="no bars from 2030-01-01; there are bars from"):
        market.within(DataRange(source="files", start=date(2030, 1, 1)))
    with pytest.raises(NotEnoughHistory, match="there are bars from"):
        check_order(TrainingOrder(ticker="AAA", data=DataRange(source="files", start=date(2030, 1, 1))), raw)


def test_bars_of_the_future_are_refused_and_not_kept(services: Services) -> None:
    ahead = PriceHistory(ticker="AAA", source="upload", bars=make_bars(40, last="2024-03-08"))
    with pytest.raises(InvalidBars, match="3 bars are of sessions that are not over yet, the first on 2024-03-06"):
        keep(ahead, services=services, now=NOW)
    with services.database.read() as tx:
        assert snapshots.latest(tx, "AAA", "upload") is None
