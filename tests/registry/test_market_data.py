from __future__ import annotations

from datetime import date

from app.registry import editions, snapshots, tickers
from tests.registry.models import FRIDAY, NOON, after, train


def fetch(tx, name: str, *, source: str = "yahoo", ticker: str = "AAPL", seconds: float = 0) -> None:
    snapshots.record(
        tx,
        snapshot_id=name,
        ticker=ticker,
        source=source,
        first_session=date(2015, 1, 2),
        last_session=FRIDAY,
        rows=2990,
        meta={"currency": "USD"},
        now=after(seconds),
    )


def test_a_fetch_comes_back_as_it_was_recorded(database):
    with database.write() as tx:
        fetch(tx, "sha256:a")
        assert snapshots.get(tx, "sha256:a") == {
            "snapshot_id": "sha256:a",
            "ticker": "AAPL",
            "source": "yahoo",
            "first_session": date(2015, 1, 2),
            "last_session": FRIDAY,
            "rows": 2990,
            "meta": {"currency": "USD"},
            "fetched_at": NOON,
        }
        assert snapshots.get(tx, "sha256:b") is None


def test_the_newest_fetch_is_found_by_ticker_and_source(database):
    with database.write() as tx:
        fetch(tx, "sha256:a")
        fetch(tx, "sha256:b", source="upload", seconds=5)
        fetch(tx, "sha256:c", ticker="MSFT", seconds=9)
        assert snapshots.latest(tx, "AAPL")["snapshot_id"] == "sha256:b"
        assert snapshots.latest(tx, "AAPL", "yahoo")["snapshot_id"] == "sha256:a"
        assert snapshots.latest(tx, "AAPL", "files") is None


def test_the_tickers_of_a_source_are_listed_once_in_order(database):
    with database.write() as tx:
        fetch(tx, "sha256:a", ticker="MSFT")
        fetch(tx, "sha256:b")
        fetch(tx, "sha256:c", seconds=5)
        fetch(tx, "sha256:d", ticker="MINE", source="upload")
        assert snapshots.tickers_of(tx, "yahoo") == ["AAPL", "MSFT"]
        assert snapshots.tickers_of(tx, "files") == []


def test_the_same_bars_fetched_again_are_the_newest_again(database):
    with database.write() as tx:
        fetch(tx, "sha256:a")
        fetch(tx, "sha256:b", seconds=5)
        fetch(tx, "sha256:a", seconds=9)
        assert snapshots.latest(tx, "AAPL")["snapshot_id"] == "sha256:a"
        fetch(tx, "sha256:a", seconds=1)
        assert snapshots.latest(tx, "AAPL")["fetched_at"] == after(9)


def test_a_ticker_nobody_asked_about_is_unknown(database):
    with database.write() as tx:
        assert tickers.get(tx, "AAPL") is None
        tickers.ensure(tx, "AAPL")
        tickers.ensure(tx, "AAPL")
        nothing = dict.fromkeys(("source_ok", "source_error", "checked_at", "next_update_at"))
        assert tickers.get(tx, "AAPL") == nothing


def test_the_state_of_a_source_begins_a_new_edition_only_when_it_changes(database):
    seen = []
    with database.write() as tx:
        for second, ok in enumerate((True, True, False, False, True)):
            error = None if ok else {"code": "source_unavailable", "delay": float("inf")}
            tickers.set_source_state(tx, "AAPL", ok=ok, error=error, now=after(second))
            seen.append(editions.current(tx))
            if not ok:
                assert tickers.get(tx, "AAPL")["source_error"] == {"code": "source_unavailable", "delay": None}
        assert tickers.get(tx, "AAPL")["checked_at"] == after(4)
        assert tickers.get(tx, "AAPL")["source_error"] is None
    assert seen == [1, 1, 2, 2, 3]


def test_another_reason_for_the_outage_begins_a_new_edition(database):
    with database.write() as tx:
        for code in ("source_unavailable", "source_rate_limited", "source_rate_limited"):
            tickers.set_source_state(tx, "AAPL", ok=False, error={"code": code}, now=NOON)
        assert editions.current(tx) == 2


def test_due_are_the_served_tickers_whose_time_has_come_or_was_never_set(database):
    with database.write() as tx:
        for ticker in ("NEVER", "PAST", "FUTURE"):
            train(tx, ticker)
        for ticker, seconds in (("PAST", 0), ("FUTURE", 1), ("UNTRAINED", -9)):
            tickers.set_next_update(tx, ticker, after(seconds))
        assert tickers.due(tx, now=NOON) == ["NEVER", "PAST"]
        assert tickers.due(tx, now=after(1)) == ["FUTURE", "NEVER", "PAST"]


def test_editions_grow_by_one_and_begin_at_one(database):
    with database.write() as tx:
        assert editions.current(tx) == 0
        assert [editions.next_edition(tx) for _ in range(3)] == ["1", "2", "3"]
        assert editions.current(tx) == 3
