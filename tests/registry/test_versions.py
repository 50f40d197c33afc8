from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.errors import AliasInUse, NoModelYet, NoSuchVersion
from app.registry import aliases, editions, tickers, versions
from tests.registry.models import NOON, a_version, train


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
