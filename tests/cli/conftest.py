from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from app.bootstrap import open_services
from app.cli import main
from app.settings import Settings


@dataclass(frozen=True)
class Ended:
    """How a call of ``morrow`` ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


@pytest.fixture
def _logging_as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, _logging_as_it_was) -> Run:
    """Call ``morrow`` on fresh state and with no settings but those given."""

    def run_morrow(*arguments: str, **settings: str) -> Ended:
        with monkeypatch.context() as patch:
            patch.setenv("MORROW_HOME", str(tmp_path / "home"))
            for name, value in settings.items():
                patch.setenv(f"MORROW_{name.upper()}", value)
            patch.setattr("sys.argv", ["morrow", *arguments])
            with pytest.raises(SystemExit) as exit_:
                main()
        said = capsys.readouterr()
        code = exit_.value.code
        return Ended(code if isinstance(code, int) else int(code is not None), said.out, said.err)

    return run_morrow


@pytest.fixture
def registry(tmp_path) -> Path:
    """The file of a registry in the home of ``run``: all that a service which has just been started makes."""
    open_services(Settings(home=tmp_path / "home")).database.close()
    return tmp_path / "home" / "morrow.db"
