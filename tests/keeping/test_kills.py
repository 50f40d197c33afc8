"""kill -9 in the middle: nothing half made has a name, nothing half restored or half moved is a registry."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from app.bootstrap import open_services
from app.db.engine import Database
from app.errors import StoreUnavailable, TargetNotEmpty
from app.keeping.backup import back_up
from app.keeping.move import move_registry
from app.keeping.restore import restore
from app.settings import Settings
from tests.db.databases import truncate
from tests.keeping import killed
from tests.keeping.test_backup import files_of
from tests.keeping.world import content

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("MORROW_KILLS", "4"))


def drawn(steps: list[str], kills: int, *, first: int = 1, always: Sequence[int] = ()) -> list[int]:
    """The steps to be killed at: ``kills`` from ``first`` on, by chance, and ``always``, counted from the end."""
    others = range(first, len(steps) + 1)
    by_chance = random.Random(3).sample(others, min(kills, len(others)))
    return sorted({*by_chance, *(len(steps) + 1 + at for at in always)})


@pytest.fixture
def empty(request, tmp_path):
    """Give, when called, the URL of an empty database for the registry; none for one that stays in the home."""

    def new(kind: str) -> str | None:
        if kind == "postgres":
            url = request.getfixturevalue("migrated_schema")
            truncate(url)
            return url
        return f"sqlite:///{tmp_path / f'{uuid4()}.db'}" if kind == "sqlite" else None

    return new


def test_a_backup_that_is_killed_has_no_name(sqlite_services, tmp_path, open_home, clock):
    home, before = tmp_path / "home", content(sqlite_services.database)
    steps = killed.steps_of(killed.back_up, home, tmp_path / "whole.tar")
    assert steps[-4:] == ["fsync", "rename", "open", "fsync"]
    for step in drawn(steps, KILLS, always=[-4, -3, -1]):
        file = tmp_path / f"{step}.tar"
        killed.kill(killed.back_up, home, file, step=step)
        assert file.exists() == (step > len(steps) - 2)
        if file.exists():
            restore(file, tmp_path / f"again-{step}", open_home=open_home, target=None, now=clock())
    assert content(sqlite_services.database) == before


@pytest.mark.parametrize("kind", ["at home", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_restore_that_is_killed_is_not_started_on_and_ended_by_the_next(
    sqlite_services, tmp_path, open_home, clock, kind, empty
):
    file = tmp_path / "backup.tar"
    back_up(sqlite_services, file)
    before, files = content(sqlite_services.database, but="workers"), files_of(tmp_path / "home")
    steps = killed.steps_of(killed.bring_back, file, tmp_path / "whole", empty(kind))
    assert steps[-4:] == ["rmtree", "open", "open", "fsync"]  # once the mark is gone, that is put on disk
    if kind == "at home":
        chosen = drawn(steps, KILLS, always=[*range(-9, -6), -4, -1])
    else:  # what comes before is the same
        chosen = drawn(steps, KILLS // 3, first=len(steps) - steps[::-1].index("rename"), always=[-4])
    for step in chosen:
        url, again = empty(kind), tmp_path / f"again-{step}"
        killed.kill(killed.bring_back, file, again, url, step=step)
        # At home all is in place with the last name, which comes before the mark goes and that is put on disk.
        if step > len(steps) - (6 if kind == "at home" else 2):
            with pytest.raises(TargetNotEmpty):
                killed.bring_back(file, again, url)
        else:
            assert_nothing_starts(again, url)
            killed.bring_back(file, again, url)
        started = open_services(Settings(home=again, database_url=url))
        assert content(started.database, but="workers") == before
        assert files_of(again) == files
        started.database.close()


def assert_nothing_starts(home: Path, url: str | None) -> None:
    """Unless nothing was begun: then there is nothing to start on."""
    there = sorted(home.rglob("*")) if home.exists() else []
    if there:
        with pytest.raises(StoreUnavailable, match="run the same one again"):
            open_services(Settings(home=home, database_url=url))
        assert sorted(home.rglob("*")) == there


@pytest.mark.postgres
def test_a_move_that_is_killed_leaves_the_source_whole_and_the_target_empty(sqlite_services, tmp_path, clock, empty):
    home, before = tmp_path / "home", content(sqlite_services.database)
    steps = killed.steps_of(killed.move_out, home, empty("postgres"))
    for step in drawn(steps, KILLS // 2, always=[-1]):
        url = empty("postgres" if step % 2 else "sqlite")
        killed.kill(killed.move_out, home, url, step=step)
        target = Database(url)
        assert not any(rows for rows, _ in content(target).values())
        move_registry(sqlite_services.database, target, now=clock())
        assert content(target) == content(sqlite_services.database) == before
        target.close()
