from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.bootstrap import open_services
from app.jobs import retry
from app.settings import Settings
from tests.worker.support import children


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """What this process and those that it starts read their settings from."""
    monkeypatch.setenv("MORROW_HOME", str(tmp_path))
    monkeypatch.setenv("MORROW_SOURCE", "sample")
    monkeypatch.setenv("MORROW_LEASE_SECONDS", "2")
    monkeypatch.setenv("MORROW_LOG_FORMAT", "json")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    # Test processes start by the dozen: without bytecode each would compile all it imports.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.05)


@pytest.fixture
def services(environment):
    opened = open_services(Settings())
    yield opened
    opened.database.close()


@pytest.fixture
def born():
    """Ask for the pids of what the test has started; libraries keep helpers of their own from tests before it."""
    before = children()
    return lambda: sorted(children() - before)
