"""The fixtures ``database_url`` and ``database``: every test that asks for one runs on both databases."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from app.db.engine import Database
from app.db.tables import metadata

SERVER = os.environ.get("MORROW_TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")


def postgres_schema() -> Iterator[str]:
    """Yield the URL of an empty schema, dropped at the end; skip when no server answers."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    server = create_engine(SERVER, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    schema = f"morrow_{uuid.uuid4().hex}"
    try:
        try:
            with server.connect() as connection:
                connection.execute(text(f"CREATE SCHEMA {schema}"))
        except OperationalError:
            pytest.skip("no PostgreSQL server answers; name one in MORROW_TEST_POSTGRES_URL")
        yield f"{SERVER}?options=-csearch_path%3D{schema}"
        with server.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    finally:
        server.dispose()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    _upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_schema() -> Iterator[str]:
    for url in postgres_schema():
        _upgrade(url)
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        yield from postgres_schema()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with empty tables."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "morrow.db")
        return f"sqlite:///{tmp_path / 'morrow.db'}"
    url: str = request.getfixturevalue("migrated_schema")
    truncate(url)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    """For what only SQLite tells, such as the plan for a table without rows."""
    shutil.copy(migrated_file, tmp_path / "morrow.db")
    opened = Database(f"sqlite:///{tmp_path / 'morrow.db'}")
    yield opened
    opened.close()


def truncate(url: str) -> None:
    """Take all rows away."""
    emptied = Database(url)
    with emptied.write() as tx:
        tx.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    emptied.close()


def _upgrade(url: str) -> None:
    fresh = Database(url)
    fresh.upgrade()
    fresh.close()
