"""A registry that moves to another database arrives whole, or not at all."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import inspect, select, text

from app.bootstrap import open_services
from app.db.engine import Database
from app.db.transfer import shapes
from app.errors import CorruptRecord, StoreUnavailable, TargetNotEmpty, WorkersAlive
from app.jobs import fleet, leases, queries, submission
from app.keeping import move
from app.keeping.move import move_registry
from app.registry import aliases, chain, forecasts
from app.settings import Settings
from tests.keeping.world import a_forecast, answered, bodies, content


def tables_of(database: Database) -> list[str]:
    with database.read() as tx:
        return inspect(tx).get_table_names()


def test_every_row_arrives_as_it_was_on_either_database(services, target, clock):
    before = content(services.database)
    moved = move_registry(services.database, target, now=clock())
    assert content(target) == content(services.database) == before
    assert moved.rows == sum(rows for rows, _ in before.values())
    assert bodies(target) == bodies(services.database)
    assert target.revision_ok()
    with services.database.read() as source, target.read() as there:
        assert chain.verify(there) == chain.verify(source)
        assert [shape.name for shape in shapes(there)] == [shape.name for shape in shapes(source)]


def test_the_target_goes_on_where_the_source_ended(services, target, empty_url, clock, tmp_path):
    said = answered(services)
    move_registry(services.database, target, now=clock())
    moved = open_services(Settings(home=tmp_path / "home", database_url=empty_url), clock=clock)
    assert answered(moved) == said
    with moved.database.write() as tx:
        changes = aliases.history(tx, "AAA", "champion")
        aliases.point(tx, "AAA", "champion", 2, by="after", reason="moved", now=clock())
        newest, *older = aliases.history(tx, "AAA", "champion")
        assert (newest.changed_by, older) == ("after", changes)
        forecasts.store(tx, a_forecast("after the move"))
        assert chain.verify(tx).fault is None
        submission.submit(tx, kind="train", ticker="AAA", payload={}, dedupe="new", now=clock())
    moved.database.close()


def test_jobs_that_waited_wait_on_and_one_that_a_dead_worker_held_comes_back(services, target, clock):
    with services.database.read() as tx:
        before = {job.job_id: job.state for job in queries.list_jobs(tx, limit=9)}
    assert sorted(before.values()) == ["queued", "queued", "running"]
    move_registry(services.database, target, now=clock())
    with target.write() as tx:
        later = clock() + timedelta(seconds=31)
        assert leases.reap(tx, now=later) == [job_id for job_id, state in before.items() if state == "running"]
        claimed = [leases.claim(tx, owner="new", lease_seconds=30, now=later) for _ in before]
        assert {job.job_id for job in claimed if job} == set(before)


def test_a_source_with_workers_at_work_is_refused(services, target, clock):
    with services.database.write() as tx:
        fleet.beat(tx, "busy", host="here", pid=1, now=services.now(tx) - timedelta(seconds=30))
        if services.database.dialect == "postgresql":  # whose own clock says who is alive, whatever this host's says
            clock.now = services.now(tx) + timedelta(minutes=5)
    with pytest.raises(WorkersAlive) as caught:
        move_registry(services.database, target, now=clock())
    assert caught.value.facts == {"workers": ["busy"]}
    assert tables_of(target) == []


def test_a_target_that_holds_anything_is_refused_and_stays_as_it_is(services, target, clock):
    target.upgrade()
    with target.write() as tx:
        submission.submit(tx, kind="train", ticker="X", payload={}, dedupe="x", now=clock())
    before = content(target)
    with pytest.raises(TargetNotEmpty, match="jobs"):
        move_registry(services.database, target, now=clock())
    assert content(target) == before


def test_a_target_with_empty_tables_is_empty(services, target, clock):
    target.upgrade()
    move_registry(services.database, target, now=clock())
    assert content(target) == content(services.database)


def test_what_does_not_arrive_as_it_was_is_taken_back(services, target, clock, monkeypatch):
    def careless(tx, shape, rows):
        write(tx, shape, (["nobody", *row[1:]] if shape.name == "workers" else row for row in rows))

    write = move.write_rows
    monkeypatch.setattr(move, "write_rows", careless)
    with pytest.raises(CorruptRecord, match="workers"):
        move_registry(services.database, target, now=clock())
    assert tables_of(target) == []


def test_nobody_else_writes_to_the_source_meanwhile(services, database_url, target, clock, monkeypatch):
    monkeypatch.setattr("app.db.engine.BUSY_MILLISECONDS", 50)
    other, tried = Database(database_url), []

    def write_meanwhile(tx, shape, rows):
        if shape.name == "jobs":
            with pytest.raises(StoreUnavailable), other.write() as beside:
                if beside.dialect.name == "postgresql":
                    beside.execute(text("SET LOCAL lock_timeout = '50ms'"))
                submission.submit(beside, kind="train", ticker="X", payload={}, dedupe="late", now=clock())
            tried.append(True)
        write(tx, shape, rows)

    write = move.write_rows
    monkeypatch.setattr(move, "write_rows", write_meanwhile)
    move_registry(services.database, target, now=clock())
    other.close()
    assert tried == [True]
    assert content(target) == content(services.database)


def test_a_kind_of_column_that_nothing_carries_is_not_left_out_silently(services):
    with services.database.write() as tx:
        tx.execute(text("CREATE TABLE odd (interval NUMERIC)"))
        try:
            with pytest.raises(NotImplementedError, match=r"odd\.interval"):
                shapes(tx)
        finally:
            tx.execute(text("DROP TABLE odd"))
    with services.database.read() as tx:
        assert tx.execute(select(1)).scalar_one() == 1
