from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.errors import AliasInUse, NoModelYet, NoSuchVersion
from app.registry import aliases, editions, tickers, versions
from tests.db.plans import query_plans
from tests.registry.models import NOON, a_version, after, train


def test_a_version_comes_back_as_it_was_registered(database):
    with database.write() as tx:
        assert versions.reserve_number(tx, "AAPL") == 1
        versions.register(tx, a_version())
    with database.read() as tx:
        assert versions.get(tx, "AAPL", 1) == a_version()
        assert versions.newest(tx, "AAPL") == a_version()


def test_a_ticker_without_versions_is_told_from_one_without_this_version(database):
    with database.write() as tx:
        versions.reserve_number(tx, "AAPL")
        assert versions.newest(tx, "AAPL") is None
        with pytest.raises(NoModelYet):
            versions.get(tx, "AAPL", 1)
        train(tx)
        with pytest.raises(NoSuchVersion) as caught:
            versions.get(tx, "AAPL", 1)
    assert caught.value.facts == {"ticker": "AAPL", "version": 1}


def test_a_version_is_registered_once(database):
    with database.write() as tx:
        train(tx)
    with pytest.raises(IntegrityError), database.write() as tx:
        versions.register(tx, a_version(reason="again"))


def test_a_number_is_never_drawn_twice_even_after_deletion(database):
    with database.write() as tx:
        assert [train(tx), train(tx), train(tx, "MSFT")] == [1, 2, 1]
        versions.delete(tx, "AAPL", 2)
        assert train(tx) == 3
        versions.delete_ticker(tx, "AAPL")
        assert train(tx) == 4


def test_threads_that_reserve_at_once_get_different_numbers(database):
    def reserve(_: int) -> int:
        with database.write() as tx:
            return versions.reserve_number(tx, "AAPL")

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(reserve, range(24))) == list(range(1, 25))


def test_the_pooled_network_that_was_fitted_last_is_found_among_all_versions(database):
    def add(tx, ticker, number, fitted_at):
        pooled = {"pooled": {"universe": ["AAPL", "MSFT"], "fitted_at": fitted_at}} if fitted_at else {}
        versions.register(tx, a_version(ticker, number, order={"ticker": ticker, **pooled}))

    with database.write() as tx:
        for ticker in ("AAPL", "KO", "MSFT"):
            tickers.ensure(tx, ticker)
        add(tx, "AAPL", 1, None)
        assert versions.newest_pooled(tx) is None
        add(tx, "MSFT", 1, "2026-11-20T12:00:00+00:00")
        add(tx, "AAPL", 2, "2026-11-19T23:00:00+00:00")
        assert versions.newest_pooled(tx) == versions.get(tx, "MSFT", 1)
        add(tx, "KO", 1, "2026-11-20T12:00:00+00:00")  # adopted the same network later
        add(tx, "KO", 2, None)
        assert versions.newest_pooled(tx) == versions.get(tx, "KO", 1)


def test_versions_are_listed_newest_first_in_pages(database):
    with database.write() as tx:
        for _ in range(5):
            train(tx)
        first = versions.list_versions(tx, "AAPL", before=None, limit=3)
        rest = versions.list_versions(tx, "AAPL", before=first[-1].number, limit=3)
    assert [v.number for v in first + rest] == [5, 4, 3, 2, 1]


def test_versions_registered_at_once_do_not_wait_for_each_others_lock(database):
    if database.dialect != "postgresql":
        return  # on SQLite there is one writer at a time
    with database.write() as tx:
        one, two = (versions.reserve_number(tx, "AAPL") for _ in range(2))
    with database.write() as first, database.write() as second:
        second.execute(text("SET LOCAL lock_timeout = '2s'"))
        versions.register(first, a_version(number=one))
        versions.register(second, a_version(number=two))
        tickers.lock(second, "AAPL")
    with database.read() as tx:
        assert versions.count(tx) == 2


def test_a_version_that_an_alias_needs_is_not_deleted(database):
    with database.write() as tx:
        train(tx)
        train(tx)
        aliases.point(tx, "AAPL", "champion", 1, by="me", reason="", now=NOON)
        with pytest.raises(AliasInUse) as caught:
            versions.delete(tx, "AAPL", 1)
        with pytest.raises(AliasInUse):
            versions.delete_ticker(tx, "AAPL")
        assert versions.delete(tx, "AAPL", 2) == a_version("AAPL", 2).location
        assert versions.count(tx) == 1
    assert caught.value.facts["aliases"] == ["champion"]


def test_the_database_itself_keeps_an_aliased_version(database):
    with database.write() as tx:
        train(tx)
        aliases.point(tx, "AAPL", "champion", 1, by="me", reason="", now=NOON)
    with pytest.raises(IntegrityError), database.write() as tx:
        tx.exec_driver_sql("DELETE FROM versions")


def test_deleting_a_ticker_names_every_bundle_to_remove(database):
    with database.write() as tx:
        train(tx)
        train(tx)
        other = train(tx, "MSFT")
        before = editions.current(tx)
        gone = versions.delete_ticker(tx, "AAPL")
        assert gone == sorted(a_version("AAPL", n).location for n in (1, 2))
        assert editions.current(tx) > before
        assert versions.locations(tx) == {a_version("MSFT", other).location}
        with pytest.raises(NoModelYet):
            versions.delete_ticker(tx, "AAPL")


def test_the_overview_has_one_row_a_ticker_with_champion_latest_and_source(database):
    with database.write() as tx:
        for ticker in ("MSFT", "AAPL", "AAPL", "^GSPC", "BRK.B", "0700.HK"):
            train(tx, ticker)
        versions.delete_ticker(tx, "BRK.B")
        aliases.point(tx, "AAPL", "champion", 1, by="me", reason="", now=NOON)
        aliases.point(tx, "MSFT", "candidate", 1, by="me", reason="", now=NOON)
        tickers.set_source_state(tx, "MSFT", ok=False, error={"code": "source_unavailable"}, now=NOON)
        tickers.set_next_update(tx, "MSFT", after(60))
        first = versions.overview(tx, after=None, limit=2)
        rest = versions.overview(tx, after=first[-1]["ticker"], limit=9)
    assert [row["ticker"] for row in first + rest] == ["0700.HK", "AAPL", "MSFT", "^GSPC"]
    assert first[1] == {
        "ticker": "AAPL",
        "champion": a_version("AAPL", 1),
        "latest": a_version("AAPL", 2),
        "source_ok": None,
        "source_error": None,
        "checked_at": None,
        "next_update_at": None,
    }
    assert rest[0] == {
        "ticker": "MSFT",
        "champion": None,
        "latest": a_version("MSFT", 1),
        "source_ok": False,
        "source_error": {"code": "source_unavailable"},
        "checked_at": NOON,
        "next_update_at": after(60),
    }


def test_the_overview_is_one_statement_that_scans_no_versions(sqlite_database):
    with sqlite_database.write() as tx:
        (plan,) = query_plans(tx, lambda: versions.overview(tx, after="AAPL", limit=50))
    assert "SEARCH tickers USING INDEX" in plan
    assert "SCAN" not in plan.replace("SCALAR", "")
    assert "TEMP B-TREE" not in plan
