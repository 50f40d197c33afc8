from __future__ import annotations

from datetime import date, timedelta

from app.registry import editions, forecasts
from tests.db.plans import query_plans
from tests.registry.models import FRIDAY, NOON, a_forecast, after


def test_a_forecast_comes_back_to_the_last_bit(database):
    with database.write() as tx:
        forecasts.store(tx, a_forecast(edition="1"))
    with database.read() as tx:
        assert forecasts.latest(tx, "AAPL", 1) == a_forecast(edition="1")


def test_the_latest_forecast_has_the_newest_bars_then_the_newest_issue(database):
    with database.write() as tx:
        forecasts.store(tx, a_forecast("newest bars"))
        forecasts.store(tx, a_forecast("late backfill", as_of_session=date(2026, 11, 19), issued_at=after(90)))
        assert forecasts.latest(tx, "AAPL", 1).forecast_id == "newest bars"
        forecasts.store(tx, a_forecast("issued again", issued_at=after(30)))
        assert forecasts.latest(tx, "AAPL", 1).forecast_id == "issued again"


def test_the_baseline_and_the_versions_do_not_meet(database):
    with database.write() as tx:
        forecasts.store(tx, a_forecast("of version 1"))
        forecasts.store(tx, a_forecast("of the baseline", version=None, issued_at=after(5)))
        forecasts.store(tx, a_forecast("of another", ticker="MSFT", issued_at=after(9)))
        assert forecasts.latest(tx, "AAPL", 1).forecast_id == "of version 1"
        assert forecasts.latest(tx, "AAPL", None).forecast_id == "of the baseline"
        assert forecasts.latest(tx, "AAPL", 2) is None


def test_a_stored_forecast_never_changes(database):
    with database.write() as tx:
        forecasts.store(tx, a_forecast())
        before = editions.current(tx)
        forecasts.store(tx, a_forecast(last_close=1.0))
        assert forecasts.latest(tx, "AAPL", 1).last_close == 412.3
        assert editions.current(tx) == before


def test_the_history_runs_in_pages_from_newest_to_oldest(database):
    with database.write() as tx:
        for number in range(7):
            day = FRIDAY - timedelta(days=number)
            forecasts.store(tx, a_forecast(f"f{number}", as_of_session=day, issued_at=after(-(number // 3))))
        seen, before = [], None
        while page := forecasts.history(tx, "AAPL", since=None, before=before, limit=2):
            seen += page
            before = (page[-1].issued_at, page[-1].forecast_id)
        recent = forecasts.history(tx, "AAPL", since=FRIDAY - timedelta(days=2), before=None, limit=9)
    assert [f.forecast_id for f in seen] == ["f2", "f1", "f0", "f5", "f4", "f3", "f6"]
    assert {f.forecast_id for f in recent} == {"f0", "f1", "f2"}


def test_forecasts_of_one_edition_share_it_and_a_stray_one_begins_a_new(database):
    with database.write() as tx:
        edition = editions.next_edition(tx)
        for name in ("one", "two"):
            forecasts.store(tx, a_forecast(name).published(edition, now=NOON))
        assert str(editions.current(tx)) == edition
        forecasts.store(tx, a_forecast("stray", issued_at=NOON))
        assert editions.current(tx) == int(edition) + 1


def test_the_latest_forecast_is_a_look_up_in_the_index(sqlite_database):
    with sqlite_database.write() as tx:
        for version in (1, None):
            (plan,) = query_plans(tx, lambda version=version: forecasts.latest(tx, "AAPL", version))
            assert plan == "SEARCH forecasts USING INDEX ix_forecasts_latest (ticker=? AND version=?)"
        (plan,) = query_plans(tx, lambda: forecasts.history(tx, "AAPL", since=FRIDAY, before=(NOON, "x"), limit=9))
        assert "ix_forecasts_ticker_issued_at_forecast_id" in plan
        assert "TEMP B-TREE" not in plan
