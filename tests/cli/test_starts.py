"""A service whose registry cannot be used does not start: one line says why, and the code is 1."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.db.engine import Database
from tests.bench.processes import free_port

pytestmark = pytest.mark.slow

GARBAGE = b"not a database at all" * 100


def start(command: str, home: Path, *, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MORROW_HOME": str(home), "MORROW_PORT": str(free_port())}
    program = [*before, sys.executable, "-m", "app", command]
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60, check=False)


def make_home(home: Path) -> Path:
    home.mkdir(exist_ok=True)
    database = Database(f"sqlite:///{home / 'morrow.db'}")
    database.upgrade()
    database.close()
    return home / "morrow.db"


def garbage(home: Path) -> None:
    make_home(home).write_bytes(GARBAGE)


def newer(home: Path) -> None:
    with sqlite3.connect(make_home(home)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()


def a_folder(home: Path) -> None:
    make_home(home).unlink()
    (home / "morrow.db").mkdir()


def gone(home: Path) -> None:
    make_home(home).unlink()
    bundle = home / "models_store" / f"{1:016x}" / "1"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text("{}")


def emptied(home: Path) -> None:
    gone(home)
    (home / "morrow.db").touch()


def damaged(home: Path) -> None:
    data = bytearray(make_home(home).read_bytes())
    data[4096 : 4096 * 12] = os.urandom(4096 * 11)
    (home / "morrow.db").write_bytes(data)


@pytest.mark.parametrize("command", ["api", "worker", "serve"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        *[(garbage, "not a SQLite database"), (newer, "newer program"), (a_folder, "cannot be opened")],
        *[(gone, "is gone"), (emptied, "is gone"), (damaged, "damaged")],
    ],
)
def test_a_registry_that_cannot_be_used_ends_the_start_in_one_line(tmp_path, command, spoil, reason):
    spoil(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ended = start(command, tmp_path)
    assert ended.returncode == 1
    assert reason in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "Traceback" not in ended.stderr
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("command", ["api", "worker", "serve"])
def test_a_registry_that_may_not_be_written_to_ends_the_start_in_one_line(tmp_path, command):
    home = tmp_path / "home"
    make_home(home).chmod(0o444)
    home.chmod(0o555)
    try:
        ended = start(command, home, before=bound_by_modes())
    finally:
        home.chmod(0o755)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "read-only" in ended.stderr


def bound_by_modes() -> tuple[str, ...]:
    """What makes the modes of files hold for root too."""
    if os.geteuid():
        return ()
    without = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    if shutil.which("setpriv") is None or subprocess.run([*without, "true"], check=False).returncode:
        pytest.skip("root may write to whatever is read-only")
    return without
