"""What holds for all tests: settings of the machine do not reach them, and a required one may not skip."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Generator, Iterator

import pytest

# Before any TensorFlow, whose libraries break the TLS of Yahoo's client when they come first. A job's process has
# that order by itself; tests share one.
with contextlib.suppress(ImportError):
    import curl_cffi.requests  # noqa: F401

from app.settings import Settings

REQUIRED = frozenset(filter(None, os.environ.get("MORROW_REQUIRE", "").split(",")))


def pytest_configure() -> None:
    for name in Settings.model_fields:
        os.environ.pop(f"MORROW_{name.upper()}", None)
    os.environ.pop("MORROW_URL", None)
    os.environ.pop("MORROW_API_KEY", None)
    # The processes that tests start would compile all they import, each time anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Whoever starts us in the background of a shell leaves Ctrl-C ignored, and so would the processes that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tiny networks of many shapes wait for the compiler more than for what it makes; `.ci/run` sets it to nothing.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the fault suite unless somebody asks for it, by its mark or by its path."""
    asked = [config.option.markexpr, *config.invocation_params.args]
    if any("chaos" in word for word in asked):
        return
    left_out = [item for item in items if item.get_closest_marker("chaos")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("chaos")]


@pytest.fixture(autouse=True)
def _settings_as_they_were() -> Iterator[None]:
    """Forget what a command line that ran in this process has set for processes that it would start."""
    before = _settings_in_environment()
    yield
    for name in _settings_in_environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _settings_in_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("MORROW_")}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test that carries a required mark into a failure (``MORROW_REQUIRE=postgres,data``)."""
    report = yield
    broken = REQUIRED & {mark.name for mark in item.iter_markers()}
    if report.skipped and not hasattr(report, "wasxfail") and broken:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"required by MORROW_REQUIRE ({', '.join(sorted(broken))}), yet: {reason}"
    return report
