"""Forecasts that read peers move when all of them have a new bar, and say whose bars are missing."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from app.errors import SourceUnavailable
from app.forecasting.answer import answer, chosen
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.registry import editions
from tests.api.rows import NOW as SATURDAY
from tests.api.rows import add_version
from tests.forecasting.conftest import Clock, TestSource, make_bars

FRIDAY, MONDAY = "2026-11-20", "2026-11-23"
READS_PEER = {"features": ["close"], "peers": ["PEER"], "window": 5}
ALONE = {"features": ["close"], "window": 5}


@pytest.fixture
def served(services: Services, source: TestSource, clock: Clock) -> Services:
    """AAA with a champion that reads PEER, bars of both up to Friday, on a Saturday."""
    clock.now = SATURDAY
    bring(source, FRIDAY, "AAA", "PEER")
    add_version(services, "AAA", spec=READS_PEER, alias="champion")
    refresh(services)
    return services


def bring(source: TestSource, last: str, *tickers: str) -> None:
    """Let the source have bars of ``tickers`` up to ``last``."""
    for ticker in tickers:
        source.bars[ticker] = make_bars(300 if last == FRIDAY else 301, last=last, seed=len(ticker))
    source.asked.clear()


def refresh(services: Services) -> dict[str, Any]:
    return refresh_tickers(None, services=services, report=lambda *a, **k: None)


def document(services: Services, model: str = "champion", ticker: str = "AAA") -> dict[str, Any]:
    with services.database.read() as tx:
        return answer(chosen(tx, ticker, model), model=model, horizon=1, levels=(80.0,), now=services.clock()).document


def edition(services: Services) -> int:
    with services.database.read() as tx:
        return editions.current(tx)


def test_a_forecast_moves_once_all_that_it_reads_have_a_new_bar(
    served: Services, source: TestSource, clock: Clock
) -> None:
    clock.now += timedelta(days=3)
    bring(source, MONDAY, "AAA")
    assert refresh(served)["unchanged"] == ["AAA"]
    assert (document(served)["as_of_session"], document(served)["state"]) == (FRIDAY, "stale")
    bring(source, MONDAY, "PEER")
    assert refresh(served)["refreshed"] == ["AAA"]
    assert (document(served)["as_of_session"], document(served)["state"]) == (MONDAY, "fresh")
    assert document(served)["last_close"] == source.bars["AAA"].close[-1]


def test_a_peer_that_is_gone_is_named_and_stops_only_what_reads_it(
    served: Services, source: TestSource, clock: Clock
) -> None:
    add_version(served, "AAA", spec=ALONE, alias="trial")
    clock.now += timedelta(days=3)
    bring(source, MONDAY, "AAA")
    del source.bars["PEER"]
    result = refresh(served)
    (failed,) = result["failed"]
    assert (failed["ticker"], failed["problem"]["code"], failed["problem"]["peer"]) == ("AAA", "unknown_ticker", "PEER")
    assert (result["refreshed"], result["unchanged"]) == (["AAA"], [])
    assert (document(served)["as_of_session"], document(served)["state"]) == (FRIDAY, "stale")
    assert (document(served, "trial")["as_of_session"], document(served, "trial")["state"]) == (MONDAY, "fresh")


def test_while_a_peer_cannot_be_asked_for_the_forecast_is_degraded(
    served: Services, source: TestSource, clock: Clock
) -> None:
    source.down = {"PEER"}
    assert refresh(served)["failed"] == []
    assert document(served)["state"] == "degraded"
    before = edition(served)
    assert refresh(served)["unchanged"] == ["AAA"]
    assert edition(served) == before
    source.down = set()
    refresh(served)
    assert document(served)["state"] == "fresh"


def test_a_peer_of_which_nothing_is_kept_fails_by_name_while_the_source_is_down(
    served: Services, source: TestSource
) -> None:
    add_version(served, "AAA", spec={**READS_PEER, "peers": ["MORE"]}, alias="trial")
    source.down = {"MORE"}
    (failed,) = refresh(served)["failed"]
    assert (failed["problem"]["code"], failed["problem"]["peer"]) == ("source_unavailable", "MORE")
    assert document(served)["state"] == "degraded"


def test_an_outage_is_one_failure_however_many_versions_it_stops(served: Services, source: TestSource) -> None:
    source.bars["BBB"] = make_bars(300, last=FRIDAY)
    for alias in ("champion", "trial"):
        add_version(served, "BBB", spec=READS_PEER | {"window": 5 + len(alias)}, alias=alias)
    source.outage = SourceUnavailable("down")
    assert [one["ticker"] for one in refresh(served)["failed"]] == ["BBB"]


def test_in_one_refresh_a_peer_is_asked_for_once(served: Services, source: TestSource) -> None:
    bring(source, FRIDAY, "AAA", "BBB", "CCC", "PEER")
    for ticker in ("BBB", "CCC", "PEER"):
        add_version(served, ticker, spec=ALONE if ticker == "PEER" else READS_PEER, alias="champion")
    assert refresh(served)["failed"] == []
    assert sorted(source.asked) == ["AAA", "BBB", "CCC", "PEER"]


def test_the_baseline_reads_the_ticker_alone(services: Services, source: TestSource, clock: Clock) -> None:
    clock.now = datetime(2026, 11, 24, 12, tzinfo=SATURDAY.tzinfo)
    bring(source, MONDAY, "AAA")
    bring(source, FRIDAY, "PEER")
    add_version(services, "AAA", spec=READS_PEER, alias="trial")
    refresh(services)
    assert document(services, "trial")["as_of_session"] == FRIDAY
    assert (document(services)["as_of_session"], document(services)["state"]) == (MONDAY, "baseline")
    assert date.fromisoformat(document(services)["steps"][0]["target_session"]) == date(2026, 11, 24)
