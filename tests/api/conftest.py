from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.api.app import create_app
from app.bootstrap import open_services
from app.forecasting.services import Services
from app.settings import Settings
from tests.api.rows import NOW, write_csv


class Clock:
    """The present, as the test wants it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def services(tmp_path: Path, clock: Clock) -> Iterator[Services]:
    folder = tmp_path / "prices"
    write_csv(folder, "AAA", 1600)
    write_csv(folder, "BBB", 1600)
    write_csv(folder, "SHORT", 60)
    (tmp_path / "home").mkdir()
    settings = Settings(home=tmp_path / "home", source="files", files_dir=folder)
    services = open_services(settings, clock=clock)
    yield services
    services.database.close()


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(create_app(services), raise_server_exceptions=True) as client:
        yield client
