from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    # Tiny networks of many shapes wait for the compiler more than for what it makes; `.ci/run` sets it to nothing.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    # Importing it at the top would fail where the extra is not installed.
    from app.training.threads import use_threads

    use_threads(1)
