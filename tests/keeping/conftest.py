from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.bootstrap import open_services
from app.db.engine import Database
from app.forecasting.services import Services
from app.settings import Settings
from tests.api.conftest import Clock, clock
from tests.db.databases import database_url, empty_url, migrated_file, migrated_schema, postgres_schema
from tests.keeping.world import fill


@pytest.fixture
def services(database_url: str, tmp_path: Path, clock: Clock) -> Iterator[Services]:
    """Services on either database, with something of everything."""
    opened = open_services(Settings(home=tmp_path / "home", database_url=database_url), clock=clock)
    fill(opened)
    yield opened
    opened.database.close()


@pytest.fixture
def sqlite_services(tmp_path: Path, clock: Clock) -> Iterator[Services]:
    opened = open_services(Settings(home=tmp_path / "home"), clock=clock)
    fill(opened)
    yield opened
    opened.database.close()


@pytest.fixture
def open_home(clock: Clock) -> Callable[[Path], Services]:
    return lambda home: open_services(Settings(home=home), clock=clock)


@pytest.fixture
def target(empty_url: str) -> Iterator[Database]:
    opened = Database(empty_url)
    yield opened
    opened.close()


__all__ = ["clock", "database_url", "empty_url", "migrated_file", "migrated_schema", "postgres_schema"]
