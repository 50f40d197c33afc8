"""Who prunes and who fetches at the same moment: nobody waits for a store of files, and no row is without its file."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import date

import pytest

from app.db.engine import Database
from app.errors import StoreUnavailable
from app.forecasting.market_data import keep
from app.keeping.prune import prune, to_prune
from app.prices.sample import SamplePrices
from app.registry import retention, snapshots, tickers, versions
from app.registry.identity import drawn_identity
from tests.keeping.test_prune import bars_until
from tests.keeping.world import NOW


@pytest.fixture(autouse=True)
def _by_the_clock_of_the_test(monkeypatch):
    monkeypatch.setattr(Database, "now", lambda self, tx: None)  # PostgreSQL has one of its own


def test_others_write_while_files_are_looked_for_saved_and_removed(services, monkeypatch):
    files, asked = services.snapshots._files, []

    def beside(name):
        does = getattr(files, name)

        def doing(*given):
            with services.database.write() as tx:
                tickers.ensure(tx, f"NEW{len(asked)}")
            asked.append(name)
            return does(*given)

        return doing

    for name in ("get", "put", "remove", "written"):
        monkeypatch.setattr(files, name, beside(name))
    bars_until(services, 2006), bars_until(services, 2007, at=NOW)
    assert prune(services).snapshot_files == 1
    assert asked == ["get", "put", "get", "put", "written", "remove"]


def test_a_fetch_waits_for_who_is_about_to_let_its_file_go_and_is_refused(services, monkeypatch):
    save, saved = services.snapshots.save, threading.Event()

    def told(history):
        snapshot_id = save(history)
        saved.set()
        return snapshot_id

    monkeypatch.setattr(services.snapshots, "save", told)
    unused, _ = bars_until(services, 2006), bars_until(services, 2007, at=NOW)
    with services.database.write() as tx:
        assert retention.forget_snapshots(tx, [unused], before=NOW) == [unused]
    saved.clear()
    with ThreadPoolExecutor(1) as another:
        with services.database.write() as tx:
            assert snapshots.let_go(tx, unused, now=NOW)
            fetch = another.submit(bars_until, services, 2006)
            assert saved.wait(10)
            assert not wait([fetch], timeout=0.2).done
        assert isinstance(fetch.exception(), StoreUnavailable)


def test_who_would_let_a_file_go_waits_for_a_fetch_that_names_it_and_leaves_it(services):
    history = SamplePrices().history("^GSPC", now=NOW).between(end=date(2006, 1, 20))
    waiting = []

    def let_go(snapshot_id):
        with services.database.write() as tx:
            return snapshots.let_go(tx, snapshot_id, now=NOW)

    with ThreadPoolExecutor(1) as another:

        def in_its_transaction(tx, snapshot_id):
            waiting.append(another.submit(let_go, snapshot_id))
            assert not wait(waiting, timeout=0.2).done

        keep(history, services=services, now=NOW, also=in_its_transaction)
        assert waiting[0].result() is False


def test_a_registry_that_was_begun_beside_the_bundles_of_another_takes_no_bars_either(services):
    bars_until(services, 2006), bars_until(services, 2007, at=NOW)
    with services.database.write() as tx:
        services.artifacts.take("another", known=versions.locations(tx))
    assert to_prune(services).snapshot_files == prune(services).snapshot_files == 0
    with services.database.write() as tx:
        (services.settings.models_dir / ".registry").write_text(drawn_identity(tx))
    assert prune(services).snapshot_files == 1
