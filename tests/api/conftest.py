from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient

from app.api.app import create_app
from app.api.front import MorrowApi
from app.api.readiness import Readiness
from app.api.server import ApiServer
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


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with price files and an empty registry, made once."""
    folder = tmp_path_factory.mktemp("template")
    for ticker, bars in (("AAA", 1600), ("BBB", 1600), ("SHORT", 60)):
        write_csv(folder / "prices", ticker, bars)
    (folder / "home").mkdir()
    open_services(Settings(home=folder / "home")).database.close()
    return folder


@pytest.fixture
def services(tmp_path: Path, template: Path, clock: Clock) -> Iterator[Services]:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "prices"
    settings = Settings(home=tmp_path / "home", source="files", files_dir=folder)
    services = open_services(settings, clock=clock)
    yield services
    services.database.close()


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(create_app(services), raise_server_exceptions=True) as client:
        yield client


def look_anew(client: TestClient) -> None:
    """Let the next ``/readyz`` look for itself, as it would a second later."""
    app = client.app
    assert isinstance(app, MorrowApi)
    app.state.readiness = Readiness(app.state.services)


@contextmanager
def serving(services: Services) -> Iterator[str]:
    """Serve the application on a free loopback port; gives its address."""
    app = create_app(services)
    server = ApiServer(uvicorn.Config(app, port=0, log_config=None, access_log=False), app.state.watch)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
