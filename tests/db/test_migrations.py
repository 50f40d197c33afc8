from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from app.db import migrate, tables
from app.db.engine import Database
from app.db.tables import metadata
from app.domain.forecast import Forecast
from app.domain.score import awaiting
from app.errors import StoreUnavailable
from app.registry import chain, forecasts, score_sums, scores
from tests.registry.models import a_forecast, after, steps_of
from tests.registry.test_scores import came, issue

UPGRADE = (
    "import sys; from app.db.engine import Database; d = Database(sys.argv[1]); d.upgrade(); print(d.revision_ok())"
)


#: A forecast as it was kept under revision 0002, to the letter. Never to be changed: it stands for what users have.
KEPT_UNDER_0002 = """
{"forecast_id": "first", "ticker": "AAPL", "currency": "USD", "targets": [{"field": "close", "transform":
"log_return"}], "origin": "live", "as_of_session": "2026-11-20", "issued_at": "2026-11-20T12:00:00+00:00",
"last_close": 412.3, "steps": [{"step": 1, "field": "close", "last_value": 412.3, "target_session": "2026-11-23",
"target_open_at": "2026-11-23T14:30:00+00:00", "target_close_at": "2026-11-23T21:00:00+00:00", "location": 0.0006,
"scale": 0.0123456789012345, "df": 5.0}], "version": 1, "architecture": "gru", "preset": "default", "trained_through":
"2026-11-20", "skill": {"vs": "persistence", "metric": "rmse", "value": -0.0007, "ci95": [-0.004, 0.002], "dm_p": 0.61,
"n": 1000, "beats_baseline": false, "crps": null, "crps_vs": "ewma_t"}, "calibration": [{"level": 80.0, "empirical":
0.803, "n": 1000, "origin": "backtest"}], "provenance": {"snapshot_id": "sha256:00", "source": "sample", "price_basis":
"split_adjusted", "code_version": "0.1.0"}, "calendar": {"exchange": "XNYS", "approximate": false, "timezone":
"America/New_York"}, "next_update_at": "2026-11-20T22:30:00+00:00", "edition": "1"}
"""


def keep_under_0002(tx: Connection, forecast_id: str, issued_at: datetime) -> dict[str, Any]:
    """Keep the forecast under another name and moment, by the columns that there were, and return its body."""
    body = json.loads(KEPT_UNDER_0002) | {"forecast_id": forecast_id, "issued_at": issued_at.isoformat()}
    columns = {name: body[name] for name in ("forecast_id", "ticker", "version", "as_of_session", "edition")}
    columns |= {"issued_at": issued_at.isoformat(sep=" "), "body": json.dumps(body)}
    names = ", ".join(columns)
    tx.execute(text(f"INSERT INTO forecasts ({names}) VALUES (:{names.replace(', ', ', :')})"), columns)
    return body


def test_the_migrations_lead_to_the_tables_of_the_program(database):
    with database.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(tx).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_every_constraint_and_index_has_the_name_that_the_tables_give_it(database):
    with database.read() as tx:
        seen = inspect(tx)
        for name, table in metadata.tables.items():
            assert seen.get_pk_constraint(name)["name"] == table.primary_key.name
            assert {k["name"] for k in seen.get_foreign_keys(name)} == {k.name for k in table.foreign_key_constraints}
            assert {i["name"] for i in seen.get_indexes(name)} == {i.name for i in table.indexes}
        assert [c["name"] for c in seen.get_check_constraints("jobs")] == ["ck_jobs_state"]


def test_an_index_is_of_the_rows_that_the_tables_say(database):
    with database.read() as tx:
        seen = inspect(tx)
        for name, table in metadata.tables.items():
            said = {index.name: index.info.get("where") for index in table.indexes}
            options = {index["name"]: index.get("dialect_options", {}) for index in seen.get_indexes(name)}
            found = {index: where.get(f"{tx.dialect.name}_where") for index, where in options.items()}
            if tx.dialect.name == "sqlite":
                assert {index: where if where is None else str(where) for index, where in found.items()} == said
            else:  # it writes conditions in its own words
                assert {index for index, where in found.items() if where} == {index for index in said if said[index]}


def test_the_newest_revision_by_name_is_the_newest_by_descent():
    assert migrate.head_revision() == ScriptDirectory.from_config(migrate._config()).get_current_head()


def test_an_empty_database_is_not_ok_until_it_is_upgraded(empty_url):
    database = Database(empty_url)
    assert not database.revision_ok()
    database.upgrade()
    assert database.revision_ok()
    database.upgrade()
    assert database.revision_ok()
    database.close()


def test_what_was_issued_before_there_was_a_record_becomes_its_beginning(empty_url):
    database = Database(empty_url)
    noon = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
    with database.write() as tx:
        config = migrate._config()
        config.attributes["connection"] = tx
        command.upgrade(config, "0002")
        moments = {name: noon + timedelta(seconds=n) for n, name in enumerate(("first", "second", "third"))}
        bodies = {name: keep_under_0002(tx, name, moments[name]) for name in ("third", "first", "second")}
    database.upgrade()
    with database.write() as tx:
        verified = chain.verify(tx)
        assert (verified.count, verified.fault) == (3, None)
        waiting = steps_of(tx)
        assert [score.forecast_id for score in waiting] == ["first", "second", "third"]
        assert waiting[0] == awaiting(Forecast.from_dict(bodies["first"]))[0]
        assert (waiting[0].target_session, waiting[0].last_value) == (date(2026, 11, 23), 412.3)
        read = forecasts.get_many(tx, ["first"])["first"]
        assert (read.last_close, read.steps[0].scale, read.issued_at) == (412.3, 0.0123456789012345, noon)
        forecasts.store(tx, a_forecast("fourth"))
        assert (chain.verify(tx).count, chain.verify(tx).fault) == (4, None)
    database.close()


def test_what_was_scored_before_there_were_sums_is_added_up(empty_url):
    database = Database(empty_url)
    database.upgrade()
    kept = (tables.score_sums, tables.score_days)
    with database.write() as tx:
        for day in range(4):
            for version, name in ((1, "one"), (None, "baseline")):
                step = issue(tx, f"{name} {day}", day, version=version)
                scores.settle(tx, [came(step, day) if day else replace(step, state="missing")])
        scores.settle(tx, [came(issue(tx, "again", 2, issued_at=after(60)), 9)])
        before = [sorted(map(tuple, tx.execute(table.select()))) for table in kept]
        config = migrate._config()
        config.attributes["connection"] = tx
        command.downgrade(config, "0003")
        command.upgrade(config, "head")
        again = [sorted(map(tuple, tx.execute(table.select()))) for table in kept]
        for old, new in zip(before, again, strict=True):
            assert [[pytest.approx(value) if isinstance(value, float) else value for value in row] for row in old] == [
                list(row) for row in new
            ]
        assert len(again[0]) == 2 and len(again[1]) == 8
        assert score_sums.overall(tx, "live", window=9)["versions"]["n"] == 3
    database.close()


@pytest.mark.slow
def test_processes_that_start_at_once_upgrade_it_together(empty_url):
    starts = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", UPGRADE, empty_url], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in starts]
    assert answers == [b"True"] * 4
    assert [process.returncode for process in starts] == [0] * 4


def test_a_file_of_garbage_is_refused_with_the_reason(tmp_path: Path):
    path = tmp_path / "morrow.db"
    path.write_bytes(b"not a database at all" * 100)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable, match="not a SQLite database"):
        database.upgrade()
    database.close()
    assert path.read_bytes() == b"not a database at all" * 100


def test_a_missing_folder_is_refused_with_the_reason(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'nowhere' / 'morrow.db'}")
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        database.upgrade()
    database.close()


def test_a_server_that_does_not_answer_is_unavailable():
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(StoreUnavailable, match="unavailable"):
        database.upgrade()
    database.close()


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///:memory:", "mysql://host/name", "postgresql://host/name"])
def test_a_url_that_cannot_hold_the_registry_is_refused(url):
    with pytest.raises(StoreUnavailable):
        Database(url)
