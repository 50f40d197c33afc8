"""From every schema that was ever released: the rows are still there, and the service goes on with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import inspect, text

from app.api.app import create_app
from app.bootstrap import open_services
from app.db import migrate
from app.db.engine import Database
from app.db.transfer import Shape, rows_of, set_sequences, shapes, write_rows
from app.domain.access import Scope
from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.registry import chain, keys
from app.settings import Settings
from tests.api.conftest import Clock
from tests.api.rows import NOW
from tests.db.test_migrations import KEPT_UNDER_0002
from tests.keeping.world import fill

REVISIONS = sorted(script.revision for script in ScriptDirectory.from_config(migrate._config()).walk_revisions())
BEFORE_THE_RECORD = "0002"
#: Rows of today by table and column, and the folder that their files lie in.
World = tuple[dict[str, list[dict[str, Any]]], Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    home = tmp_path_factory.mktemp("world")
    services = open_services(Settings(home=home), clock=Clock(NOW))
    fill(services)
    with services.database.read() as tx:
        rows = {
            shape.name: [dict(zip(shape.columns, row, strict=True)) for row in rows_of(tx, shape)]
            for shape in shapes(tx)
        }
    services.database.close()
    return rows, home


@pytest.fixture(params=REVISIONS)
def upgraded(request, empty_url: str, world: World, tmp_path: Path) -> Iterator[tuple[Services, Any]]:
    """Services started on a database of an old revision, and the rows that were in it."""
    rows, home = world
    shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("morrow.db*"))
    database = Database(empty_url)
    with database.write() as tx:
        migrate.upgrade(tx, request.param)
        old = shapes(tx)
        for shape in old:
            write_rows(tx, shape, as_kept_under(request.param, shape, rows))
        set_sequences(tx, old)
    with database.read() as tx:
        kept = [(shape, list(rows_of(tx, shape))) for shape in old]
        assert migrate.present_revision(tx) == request.param
    database.close()
    services = open_services(Settings(home=tmp_path / "home", database_url=empty_url), clock=Clock(NOW))
    yield services, kept
    services.database.close()


def as_kept_under(revision: str, shape: Shape, rows: dict[str, list[dict[str, Any]]]) -> list[list[Any]]:
    found = rows[shape.name]
    if shape.name == "forecasts" and revision <= BEFORE_THE_RECORD:
        found = [old_forecast(row) for row in found]
    if shape.name == "counters" and revision <= BEFORE_THE_RECORD:
        found = [row for row in found if row["name"] != "forecasts"]
    return [[row[name] for name in shape.columns] for row in found]


def old_forecast(row: dict[str, Any]) -> dict[str, Any]:
    """The forecast as it was written down before there was a record."""
    named = {name: row[name] for name in ("forecast_id", "ticker", "version", "as_of_session", "issued_at", "edition")}
    return {**row, "body": json.dumps(json.loads(KEPT_UNDER_0002) | named)}


def test_there_is_a_test_for_every_revision():
    assert REVISIONS[0] == "0001"
    assert REVISIONS[-1] == migrate.head_revision()
    assert [int(revision) for revision in REVISIONS] == list(range(1, len(REVISIONS) + 1))


def test_all_rows_are_still_there(upgraded):
    services, kept = upgraded
    assert len(kept) >= 10
    with services.database.read() as tx:
        for shape, rows in kept:
            found = list(rows_of(tx, shape))  # of the columns that there were
            assert rows, shape.name
            assert [row for row in rows if row not in found] == []
            assert len(found) - len(rows) == (1 if shape.name == "counters" and len(kept) == 10 else 0)


def test_the_service_goes_on(upgraded):
    services, kept = upgraded
    with services.database.read() as tx:
        verified, issued = chain.verify(tx), tx.execute(text("SELECT count(*) FROM forecasts")).scalar_one()
        assert (verified.fault, verified.count) == (None, issued)
        summed = tx.execute(text("SELECT coalesce(sum(n), 0) FROM score_sums")).scalar_one()
        scored = tx.execute(text("SELECT count(*) FROM scores WHERE state = 'scored'")).scalar_one()
        assert summed == scored
        assert scored == (1 if any(shape.name == "scores" for shape, _ in kept) else 0)
    with services.database.write() as tx:
        _, token = keys.create(tx, name="reader", scope=Scope.READ, by="cli", now=NOW)
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {token}"}) as client:
        assert client.get("/readyz").status_code == 200
        answer = client.get("/v1/forecasts/AAA")
        assert (answer.status_code, answer.json()["model"]["version"]) == (200, 1)
        assert len(client.get("/v1/models/AAA").json()["items"]) == 3
        assert len(client.get("/v1/jobs").json()["items"]) == 3
        assert client.get("/v1/forecasts/AAA/history").json()["items"] != []


def test_the_schema_is_that_of_a_fresh_one(upgraded, tmp_path, request):
    services, _ = upgraded
    fresh = Database(f"sqlite:///{tmp_path / 'fresh.db'}")
    if services.database.dialect == "postgresql":
        fresh.close()
        fresh = Database(request.getfixturevalue("migrated_schema"))
    fresh.upgrade()
    assert schema_of(services.database) == schema_of(fresh)
    fresh.close()


def schema_of(database: Database) -> dict[str, Any]:
    """Tables with columns, keys, checks and indices, whatever the order that they came in."""
    with database.read() as tx:
        seen = inspect(tx)
        return {
            name: {
                "columns": {
                    c["name"]: (str(c["type"]), c["nullable"], c.get("primary_key"), bool(c["default"]))
                    for c in seen.get_columns(name)
                },
                "key": seen.get_pk_constraint(name),
                "references": [{**key, "referred_schema": None} for key in seen.get_foreign_keys(name)],
                "checks": sorted(check["sqltext"] for check in seen.get_check_constraints(name)),
                "indices": sorted(index_of(index) for index in seen.get_indexes(name)),
            }
            for name in seen.get_table_names()
        }


def index_of(index: Any) -> tuple[str, ...]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    columns = index.get("expressions") or index["column_names"]
    return index["name"], str(columns), str(index["unique"]), str(index.get("column_sorting")), str(options)


def test_a_schema_of_a_newer_program_is_refused_and_stays_as_it_is(database, database_url):
    with database.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    other = Database(database_url)
    try:
        with pytest.raises(StoreUnavailable, match="newer program") as caught:
            other.upgrade()
        assert caught.value.facts == {"have": "9999", "need": migrate.head_revision()}
        assert not other.revision_ok()
    finally:
        other.close()
        with database.write() as tx:
            tx.execute(text(f"UPDATE alembic_version SET version_num = '{migrate.head_revision()}'"))
