from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from app.db import migrate, tables
from app.db.engine import Database
from app.db.tables import metadata
from app.domain.score import awaiting
from app.errors import StoreUnavailable
from app.registry import chain, forecasts, scores
from tests.registry.models import a_forecast, after

UPGRADE = (
    "import sys; from app.db.engine import Database; d = Database(sys.argv[1]); d.upgrade(); print(d.revision_ok())"
)


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
    old = [a_forecast(name, issued_at=after(-n)) for n, name in enumerate(("third", "second", "first"))]
    with database.write() as tx:
        config = migrate._config()
        config.attributes["connection"] = tx
        command.upgrade(config, "0002")
        names = ("forecast_id", "ticker", "version", "as_of_session", "issued_at", "edition")
        for forecast in old:
            row = {name: getattr(forecast, name) for name in names} | {"body": forecast.to_dict()}
            tx.execute(tables.forecasts.insert().values(row))
    database.upgrade()
    with database.write() as tx:
        verified = chain.verify(tx)
        assert (verified.count, verified.fault) == (3, None)
        assert [s.forecast_id for s in scores.of_ticker(tx, "AAPL")] == ["first", "second", "third"]
        assert scores.of_ticker(tx, "AAPL")[0] == awaiting(old[2])[0]
        forecasts.store(tx, a_forecast("fourth"))
        assert (chain.verify(tx).count, chain.verify(tx).fault) == (4, None)
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
