"""Backups, restores and moves in a process of their own, which is killed at the step that it is told.

The processes are forked from one that has imported all they need: each is there at once.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import alembic.command  # noqa: F401 - what would be imported on the way would make steps of its own

from app.bootstrap import open_services
from app.db.engine import Database
from app.keeping import archive, backup, move, restore
from app.settings import Settings
from tests.keeping.world import NOW
from tests.support.disk import die, failing_disk

with suppress(ImportError):
    import psycopg  # noqa: F401 - as above

#: What is a step beside what is done to the disk.
STEPS = (
    *((archive.ArchiveWriter, "add_file"), (archive.Archive, "read"), (restore.shutil, "rmtree")),
    *((module, name) for module in (move, restore) for name in ("write_rows", "digest_of")),
)
Work = Callable[..., object]

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def back_up(home: Path, file: Path) -> None:
    services = open_services(Settings(home=home), clock=lambda: NOW)
    with closing(services.database):
        backup.back_up(services, file)


def bring_back(file: Path, home: Path, url: str | None) -> None:
    target = Database(url) if url else None
    restore.restore(file, home, open_home=lambda staged: open_services(Settings(home=staged)), target=target, now=NOW)
    if target:
        target.close()


def move_out(home: Path, url: str) -> None:
    with closing(Database(f"sqlite:///{home / 'morrow.db'}")) as source, closing(Database(url)) as target:
        move.move_registry(source, target, now=NOW)


def steps_of(work: Work, *arguments: object) -> list[str]:
    """Do the work here, and tell its steps."""
    with failing_disk(0, die, also=STEPS) as steps:
        work(*arguments)
    return steps


def kill(work: Work, *arguments: object, step: int) -> None:
    """Begin the work in a process that is killed in place of its ``step``-th step, from 1."""
    process = _processes.Process(target=_until, args=(step, work, *arguments))
    process.start()
    process.join()
    assert process.exitcode == -9


def _until(step: int, work: Work, *arguments: object) -> None:
    with failing_disk(step, die, also=STEPS):
        work(*arguments)
