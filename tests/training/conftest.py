from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    # Importing it at the top would fail where the extra is not installed.
    from app.training.threads import use_threads

    use_threads(1)
