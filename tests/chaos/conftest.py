from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.bootstrap import open_services
from app.settings import Settings
from tests.chaos.tables import TOLD, show

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.chaos)


def pytest_terminal_summary() -> None:
    """Print what the tests have measured."""
    for table in TOLD:
        show(table)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """What this process and those that it starts read their settings from."""
    monkeypatch.setenv("MORROW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MORROW_SOURCE", "sample")
    monkeypatch.setenv("MORROW_LEASE_SECONDS", "3")
    monkeypatch.setenv("MORROW_LOG_FORMAT", "json")
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]), prepend=os.pathsep)


@pytest.fixture
def services(environment):
    opened = open_services(Settings())
    yield opened
    opened.database.close()
