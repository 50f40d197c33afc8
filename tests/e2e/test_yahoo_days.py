"""Trained from Yahoo's format over a real connection: a day passes, the source fails in every way it knows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, running
from tests.support.yahoo_server import Bar, Listing, YahooServer, yahoo_server

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

QUICK = {
    "spec": {"epochs": 1, "units": [2], "window": 5, "features": ["returns"], "batch_size": 512},
    "evaluation": {"kind": "fixed", "test_fraction": 0.3},
}


def real_bars() -> list[Bar]:
    """The S&P 500 of 2012 to 2018, as the arch package ships it."""
    sp500 = pytest.importorskip("arch.data.sp500", reason="the worker extra is not installed")
    rows = sp500.load().loc["2012":]
    return [
        Bar(day.date(), row["Open"], row["High"], row["Low"], row["Close"], row["Adj Close"], row["Volume"])
        for day, row in rows.iterrows()
    ]


@pytest.fixture(scope="module")
def yahoo() -> Iterator[YahooServer]:
    bars = real_bars()
    with yahoo_server({"IDX": Listing(bars[:-2])}) as server:
        server.tomorrow = bars[-2:]
        yield server


@pytest.fixture(scope="module")
def service(yahoo: YahooServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = {
        "MORROW_YAHOO_BASE_URL": yahoo.url,
        "MORROW_YAHOO_TIMEOUT_SECONDS": "2",
        "MORROW_YAHOO_REQUESTS_PER_SECOND": "1000",
        "MORROW_YAHOO_PAUSE_SECONDS": "1",
        "MORROW_MAX_ATTEMPTS": "1",
    }
    with running(home, **settings) as service:
        yield service


def test_the_next_days_bar_moves_the_forecast_on(service: Service, yahoo: YahooServer) -> None:
    job = service.finished("/v1/train", {"ticker": "IDX", **QUICK})
    assert job["state"] == "succeeded", job["error"]
    status, before = service.ask("/v1/forecasts/IDX?model=champion")
    assert status == 200 and before["provenance"]["source"] == "yahoo"
    assert (before["as_of_session"], before["steps"][0]["target_session"]) == ("2018-12-27", "2018-12-28")

    yahoo.listings["IDX"].append(yahoo.tomorrow[0])
    refreshed = service.finished("/v1/refresh", {})
    assert refreshed["result"]["refreshed"] == ["IDX"]
    _, after = service.ask("/v1/forecasts/IDX")
    assert (after["as_of_session"], after["steps"][0]["target_session"]) == ("2018-12-28", "2018-12-31")
    assert after["last_close"] == pytest.approx(yahoo.tomorrow[0].close)
    assert after["provenance"]["snapshot_id"] != before["provenance"]["snapshot_id"]


@pytest.mark.parametrize("fault", ["429", "503", "hang"])  # all others: tests/forecasting/test_guarded_prices.py
def test_an_outage_leaves_the_last_good_forecast_marked(service: Service, yahoo: YahooServer, fault: str) -> None:
    assert service.ask("/v1/forecasts/IDX")[0] == 200, "needs the version that the first test trains"
    yahoo.fail = fault
    try:
        service.finished("/v1/refresh", {})
        status, during = service.ask("/v1/forecasts/IDX")
    finally:
        yahoo.fail = None
    assert (status, during["state"]) == (200, "degraded")
    expected = "source_rate_limited" if fault == "429" else "source_unavailable"
    assert during["reasons"][0] == "degraded" and during["reasons"][-1] == expected
    assert "degraded" not in recovered(service)["reasons"]


def recovered(service: Service) -> dict[str, Any]:
    """Refresh until the source is asked again, which after a refusal takes its second, and return the forecast."""
    for _ in range(5):
        service.finished("/v1/refresh", {})
        _, document = service.ask("/v1/forecasts/IDX")
        if "degraded" not in document["reasons"]:
            break
        time.sleep(0.5)
    return document


@pytest.mark.parametrize(
    ("fault", "code"), [(None, "unknown_ticker"), ("500", "source_unavailable"), ("429", "source_rate_limited")]
)
def test_a_training_that_gets_no_bars_says_why(
    service: Service, yahoo: YahooServer, fault: str | None, code: str
) -> None:
    yahoo.fail = fault
    try:
        job = service.finished("/v1/train", {"ticker": "NOPE", **QUICK})
    finally:
        yahoo.fail = None
    assert (job["state"], job["error"]["code"]) == ("failed", code)
    assert service.ask("/v1/forecasts/NOPE")[1]["code"] == "no_model_yet"


def test_a_bar_of_a_session_that_is_not_over_is_never_used(service: Service, yahoo: YahooServer) -> None:
    last = yahoo.listings["IDX"].bars[-1]
    today = date.today()  # noqa: DTZ011 - the service's own clock is the machine's
    yahoo.listings["IDX"].append(Bar(today, last.open, last.high, last.low, last.close, last.close, 1.0))
    yahoo.listings["IDX"].open_until = None
    service.finished("/v1/refresh", {})
    _, document = service.ask("/v1/forecasts/IDX")
    del yahoo.listings["IDX"].bars[-1]
    assert document["as_of_session"] < today.isoformat()
