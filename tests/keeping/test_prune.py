"""What has served goes, rows before files; what anything refers to stays, and so does the whole live record."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
import structlog
from sqlalchemy import text

from app.db.engine import Database
from app.domain.version import DataFacts
from app.errors import CorruptArtifact, NoSuchJob, StoreUnavailable
from app.forecasting.market_data import keep, kept_bars
from app.forecasting.services import Services
from app.jobs import fleet, leases, queries, submission
from app.keeping import prune as pruning
from app.keeping.prune import Pruned, prune, prune_daily, to_prune
from app.prices.sample import SamplePrices
from app.registry import aliases, audit, chain, kept_files, retention, scores, settlements, versions
from app.worker.upkeep import prune_once_a_day
from tests.keeping.world import LONG_AGO, NOW, add_version, answered, content
from tests.registry.models import a_version

NOTHING = Pruned(jobs=0, idempotency_keys=0, workers=0, audit_entries=0, versions=0, snapshots=0, snapshot_files=0)


@pytest.fixture(autouse=True)
def _by_the_clock_of_the_test(monkeypatch):
    monkeypatch.setattr(Database, "now", lambda self, tx: None)  # PostgreSQL has one of its own


def keeping(services: Services, **settings: int) -> Services:
    return replace(services, settings=services.settings.model_copy(update=settings))


def numbers(services: Services, ticker: str = "AAA") -> list[int]:
    with services.database.read() as tx:
        locations = versions.locations(tx)
    there = [n for n in range(1, 30) if any(location.endswith(f"/{n}") for location in locations)]
    return [n for n in there if a_version(ticker, n).location in locations]


def bars_until(services: Services, year: int, *, at=LONG_AGO, source: str = "sample") -> str:
    history = SamplePrices().history("^GSPC", now=NOW).between(end=date(year, 1, 20))
    snapshot_id = keep(replace(history, source=source), services=services, now=at)
    written(file_of(services, snapshot_id), at)
    return snapshot_id


def file_of(services: Services, snapshot_id: str) -> Path:
    return services.settings.snapshots_dir / f"{snapshot_id.removeprefix('sha256:')}.gz"


def written(path: Path, at) -> Path:
    path.touch()
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def snapshots(services: Services) -> set[str]:
    with services.database.read() as tx:
        known = set(kept_files.snapshot_ids(tx))
    for one in known:
        services.snapshots.load(one)
    return known


def test_what_is_new_stays(services):
    before = content(services.database, but="workers")
    assert to_prune(services) == NOTHING
    assert prune(services) == NOTHING
    assert content(services.database, but="workers") == before


def test_jobs_that_ended_long_ago_go_and_others_stay(services):
    with services.database.write() as tx:
        ended = {}
        for days in (1, 89, 91, 300):
            job, _ = submission.submit(tx, kind="train", ticker="T", payload={}, dedupe=f"{days}", now=LONG_AGO)
            claimed = leases.claim(tx, owner="w", lease_seconds=9, now=LONG_AGO, only=job.job_id)
            leases.succeed(tx, job.job_id, claimed.fence, result={}, now=NOW - timedelta(days=days))
            ended[days] = job.job_id
        waits, _ = submission.submit(tx, kind="train", ticker="T", payload={}, dedupe="old", now=LONG_AGO)
    assert prune(keeping(services, keep_jobs_days=0)).jobs == 0
    assert to_prune(services).jobs == prune(services).jobs == 2
    with services.database.read() as tx:
        for kept in (ended[1], ended[89], waits.job_id):
            assert queries.get(tx, kept).job_id == kept
        for gone in (ended[91], ended[300]):
            with pytest.raises(NoSuchJob):
                queries.get(tx, gone)


def test_keys_past_their_day_and_workers_long_silent_go(services, clock):
    clock.now = NOW + timedelta(days=1, hours=1)
    with services.database.write() as tx:
        fleet.beat(tx, "new", host="here", pid=1, now=NOW)
        fleet.beat(tx, "alive", host="here", pid=1, now=NOW + timedelta(hours=2))
    found = to_prune(services)
    assert (found.idempotency_keys, found.workers) == (1, 2)
    pruned = prune(services)
    assert (pruned.idempotency_keys, pruned.workers) == (1, 2)


def test_of_a_ticker_the_newest_versions_stay_and_those_that_something_needs(services, tmp_path):
    for _ in range(6):
        add_version(services, "AAA", reasons=())
    with services.database.write() as tx:
        for number in (2, 4):  # a rollback would bring 2 back, and after that 1
            aliases.point(tx, "AAA", "champion", number, by="x", reason="y", now=NOW)
        aliases.point(tx, "AAA", "mine", 5, by="x", reason="y", now=NOW)
    said, before = answered(services), content(services.database)
    assert numbers(services) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert prune(keeping(services, keep_versions=0)).versions == 0
    few = keeping(services, keep_versions=2)
    assert to_prune(few).versions == prune(few).versions == 4
    assert numbers(services) == [2, 4, 5, 8, 9]
    assert answered(services)["forecast_id"] == said["forecast_id"]
    left = {path.parent.name + "/" + path.name for path in (tmp_path / "home" / "models_store").glob("[0-9a-f]*/*")}
    with services.database.read() as tx:
        assert left == versions.locations(tx)
        assert aliases.previous(tx, "AAA", "champion") == 2
        written_down = [(entry.who, entry.action, entry.subject) for entry in audit.newest(tx, limit=5)]
        assert written_down[:4] == [("retention", "version_deleted", f"AAA {number}") for number in (7, 6, 3, 1)]
        assert chain.verify(tx).fault is None
    after = content(services.database)
    record = ("forecasts", "forecast_chain", "scores", "score_sums", "score_days", "alias_history")
    assert {name: after[name] for name in record} == {name: before[name] for name in record}


def test_a_version_that_gets_an_alias_in_the_last_moment_stays(services):
    with services.database.write() as tx:
        surplus = retention.surplus_versions(tx, keep=1)
        aliases.point(tx, "AAA", "mine", 2, by="x", reason="y", now=NOW)
        assert retention.forget_versions(tx, "AAA", [1, 2, 3]) == {}
    assert surplus == {"AAA": [2]}


def test_the_newest_pooled_network_stays_to_be_adopted(services):
    made = a_version("POOL", 1)
    with services.database.write() as tx:
        for _ in range(3):
            number = versions.reserve_number(tx, "POOL")
            order = {**made.order, **({"pooled": {"fitted_at": "2026-01-01"}} if number == 1 else {})}
            versions.register(tx, replace(a_version("POOL", number), order=order))
    with services.database.read() as tx:
        assert retention.surplus_versions(tx, keep=1)["POOL"] == [2]


def test_bars_that_nothing_refers_to_go_with_their_files(services):
    before = snapshots(services)
    used = {name: bars_until(services, year) for name, year in (("own", 1999), ("peer", 2000), ("scored", 2001))}
    used |= {"settled": bars_until(services, 2002), "at work": bars_until(services, 2003)}
    used |= {"newest upload": bars_until(services, 2004, source="upload"), "new": bars_until(services, 2005, at=NOW)}
    unused = {bars_until(services, 2006), bars_until(services, 2007)}
    with services.database.write() as tx:
        facts = DataFacts(source="s", snapshot_id=used["own"], first_session=NOW, last_session=NOW, rows=1)
        facts = replace(facts, peers={"snapshots": {"P": used["peer"]}, "correlation": {}})
        versions.register(tx, replace(a_version("AAA", versions.reserve_number(tx, "AAA")), data=facts))
        settlements.note(tx, "ZZZ", "sample", used["settled"])
        step = scores.up_to(tx, "AAA", "files", until=date.max, since=date.min)[0]
        scores.settle(tx, [replace(step, snapshot_id=used["scored"])])
        job = leases.claim(tx, owner="w", lease_seconds=60, now=NOW)
        leases.keep_checkpoint(tx, job.job_id, job.fence, {"bars": {"own": used["at work"], "peers": {}}})
    assert to_prune(services) == prune(services) == replace(NOTHING, snapshots=2, snapshot_files=2)
    assert snapshots(services) == before | set(used.values())
    for gone in unused:
        with pytest.raises(CorruptArtifact):
            services.snapshots.load(gone)


def test_bars_that_are_fetched_again_before_their_file_goes_keep_it(services, monkeypatch):
    unused, _ = bars_until(services, 2006), bars_until(services, 2007, at=NOW - timedelta(days=1))
    strays = services.snapshots.strays

    def found_and_fetched_again(*known, **before):
        found = strays(*known, **before)
        assert bars_until(services, 2006, at=NOW) == unused
        return found

    monkeypatch.setattr(services.snapshots, "strays", found_and_fetched_again)
    monkeypatch.setattr(services.snapshots._files, "put", lambda name, data: 1 / 0)  # nothing went, to come back
    assert prune(services) == replace(NOTHING, snapshots=1)
    assert unused in snapshots(services)
    assert kept_bars("^GSPC", "sample", services=services).snapshot_id == unused


def test_bars_whose_file_is_about_to_go_are_not_noted_until_it_has_and_are_saved_again(services, monkeypatch, clock):
    unused, _ = bars_until(services, 2006), bars_until(services, 2007, at=NOW - timedelta(days=1))
    remove = services.snapshots._files.remove

    def fetched_meanwhile(name):
        with pytest.raises(StoreUnavailable, match="come again"):
            bars_until(services, 2006)  # its row would name a file that goes
        remove(name)

    monkeypatch.setattr(services.snapshots._files, "remove", fetched_meanwhile)
    assert prune(services) == replace(NOTHING, snapshots=1, snapshot_files=1)
    with pytest.raises(StoreUnavailable, match="come again"):
        bars_until(services, 2006)  # a file that was seen before may have gone since
    assert unused not in snapshots(services)
    clock.now += timedelta(minutes=4)
    assert bars_until(services, 2006, at=clock.now) == unused
    assert unused in snapshots(services)


def test_files_that_a_dying_prune_left_go_with_the_next(services, monkeypatch):
    unused, newest = bars_until(services, 2006), bars_until(services, 2007, at=NOW - timedelta(days=1))
    with monkeypatch.context() as patch:
        patch.setattr(services.snapshots._files, "remove", lambda name: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prune(services)
    assert unused not in snapshots(services)
    assert file_of(services, unused).is_file()
    folder = services.settings.snapshots_dir
    half = written(folder / ".new-of-somebody-who-was-killed", LONG_AGO)
    kept = [written(folder / ".new-of-now", NOW), written(folder / f"{'0' * 64}.gz", NOW)]
    kept.append(written(folder / "notes.txt", LONG_AGO))
    assert to_prune(services) == prune(services) == replace(NOTHING, snapshot_files=2)
    assert newest in snapshots(services)
    assert not file_of(services, unused).exists()
    assert [path.exists() for path in (half, *kept)] == [False, True, True, True]


def test_a_registry_that_knows_no_bars_sweeps_none(services):
    there = file_of(services, bars_until(services, 2006))
    with services.database.write() as tx:
        tx.execute(text("DELETE FROM snapshots"))
    assert to_prune(services) == prune(services) == NOTHING
    assert there.is_file()


def test_a_store_that_is_away_keeps_no_row_from_going(services, monkeypatch):
    unused, newest = bars_until(services, 2006), bars_until(services, 2007, at=NOW)

    def away():
        raise StoreUnavailable("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(services.snapshots._files, "written", away)
        with pytest.raises(StoreUnavailable):
            prune(services)
    assert newest in snapshots(services)
    assert unused not in snapshots(services)
    assert prune(services) == replace(NOTHING, snapshot_files=1)


def test_entries_of_the_audit_log_go_after_a_year(services, monkeypatch):
    monkeypatch.setattr(pruning, "_ROWS_AT_ONCE", 1)
    with services.database.write() as tx:
        before = len(audit.newest(tx, limit=100))
        for days in (1, 364, 366, 1000):
            at = NOW - timedelta(days=days)
            audit.record(tx, who="x", action=audit.BARS_UPLOADED, subject=f"{days} days ago", now=at)
    assert prune(keeping(services, keep_audit_days=0)) == NOTHING
    assert to_prune(services) == prune(services) == replace(NOTHING, audit_entries=2)
    with services.database.read() as tx:
        left = [entry.subject for entry in audit.newest(tx, limit=100)]
    assert left == ["364 days ago", "1 days ago", *left[2:]]
    assert len(left) == before + 2


def test_one_worker_prunes_once_a_day(services, clock):
    assert prune_daily(services) == NOTHING
    assert prune_daily(services) is None
    clock.now += timedelta(days=1)
    assert prune_daily(services) == replace(NOTHING, idempotency_keys=1, workers=1)
    assert prune_daily(services) is None


def test_sqlite_gives_back_its_log_and_its_free_pages(sqlite_services, tmp_path):
    file = tmp_path / "home" / "morrow.db"
    database = sqlite_services.database
    with database.write() as tx:
        answer = {"blob": "x" * 2_000_000}
        submission.remember(tx, key="big", principal="p", fingerprint="f", answer=answer, now=LONG_AGO)
    assert prune(sqlite_services).idempotency_keys == 1
    database.tidy()
    assert (tmp_path / "home" / "morrow.db-wal").stat().st_size == 0
    large = file.stat().st_size
    database.tidy(compact=True)
    assert file.stat().st_size < large - 1_500_000
    database.check()
    with database.write() as tx:  # and the connection still begins its transactions as before
        assert chain.verify(tx).fault is None


def test_the_upkeep_of_a_worker_prunes_and_says_what_went(services, clock):
    clock.now += timedelta(days=1)
    with structlog.testing.capture_logs() as said:
        prune_once_a_day(services)
        prune_once_a_day(services)
    assert [(line["event"], line["idempotency_keys"], line["versions"]) for line in said] == [("pruned", 1, 0)]
