from __future__ import annotations

from datetime import date

from app.domain.forecast import Validity
from app.registry import aliases, forecasts, listings, tickers, versions
from tests.db.plans import query_plans
from tests.registry.models import NOON, a_forecast, a_version, after, train


def test_versions_are_listed_newest_first_in_pages(database):
    with database.write() as tx:
        for _ in range(5):
            train(tx)
        first = listings.list_versions(tx, "AAPL", before=None, limit=3)
        rest = listings.list_versions(tx, "AAPL", before=first[-1].number, limit=3)
    assert first + rest == [a_version("AAPL", number).summary for number in (5, 4, 3, 2, 1)]


def test_the_overview_has_one_row_a_ticker_with_champion_latest_and_source(database):
    with database.write() as tx:
        for ticker in ("MSFT", "AAPL", "AAPL", "^GSPC", "BRK.B", "0700.HK"):
            train(tx, ticker)
        versions.delete_ticker(tx, "BRK.B")
        aliases.point(tx, "AAPL", "champion", 1, by="me", reason="", now=NOON)
        aliases.point(tx, "MSFT", "candidate", 1, by="me", reason="", now=NOON)
        tickers.set_source_state(tx, "MSFT", ok=False, error={"code": "source_unavailable"}, now=NOON)
        tickers.set_next_update(tx, "MSFT", after(60))
        first = listings.overview(tx, after=None, limit=2)
        rest = listings.overview(tx, after=first[-1]["ticker"], limit=9)
    assert [row["ticker"] for row in first + rest] == ["0700.HK", "AAPL", "MSFT", "^GSPC"]
    assert first[1] == {
        "ticker": "AAPL",
        "champion": a_version("AAPL", 1).summary,
        "latest": a_version("AAPL", 2).summary,
        "forecast": None,
        "source_ok": None,
        "source_error": None,
        "checked_at": None,
        "next_update_at": None,
    }
    assert rest[0] == {
        "ticker": "MSFT",
        "champion": None,
        "latest": a_version("MSFT", 1).summary,
        "forecast": None,
        "source_ok": False,
        "source_error": {"code": "source_unavailable"},
        "checked_at": NOON,
        "next_update_at": after(60),
    }


def test_the_overview_says_until_when_what_is_served_is_news(database):
    with database.write() as tx:
        for ticker in ("AAPL", "MSFT"):
            train(tx, ticker)
        aliases.point(tx, "AAPL", "champion", 1, by="me", reason="", now=NOON)
        stored = [
            a_forecast("served", next_update_at=after(60)),
            a_forecast("older bars", as_of_session=date(2026, 11, 19), issued_at=after(90)),
            a_forecast("of the baseline", version=None, issued_at=after(99)),
            a_forecast("of no champion", ticker="MSFT", issued_at=after(99)),
            a_forecast("instead", ticker="MSFT", version=None, next_update_at=after(70)),
        ]
        for forecast in stored:
            forecasts.store(tx, forecast)
        aapl, msft = listings.overview(tx, after=None, limit=9)
    assert aapl["forecast"] == stored[0].validity
    assert msft["forecast"] == stored[4].validity
    first_close_at = stored[0].steps[0].target_close_at
    assert aapl["forecast"] == Validity(version=1, first_close_at=first_close_at, next_update_at=after(60))


def test_the_overview_is_one_statement_that_scans_neither_versions_nor_forecasts(sqlite_database):
    with sqlite_database.write() as tx:
        (plan,) = query_plans(tx, lambda: listings.overview(tx, after="AAPL", limit=50))
    assert "SEARCH tickers USING INDEX" in plan
    assert plan.count("ix_forecasts_latest (ticker=? AND version=?)") == 2
    assert "SCAN" not in plan.replace("SCALAR", "")
    assert "TEMP B-TREE" not in plan
