"""What is backed up comes back, on either database, to the last byte; what is damaged does not."""

from __future__ import annotations

import io
import random
import resource
import shutil
import tarfile
from pathlib import Path

import pytest

from app.errors import CorruptBackup, StoreUnavailable, TargetNotEmpty
from app.keeping import backup as backing_up
from app.keeping.backup import back_up
from app.keeping.move import move_registry
from app.keeping.progress import silent
from app.keeping.restore import restore
from app.registry import kept_files, versions
from tests.api.rows import add_version
from tests.keeping.world import answered, bodies, content, lines, lose_bars


@pytest.fixture
def archive(sqlite_services, tmp_path):
    back_up(sqlite_services, tmp_path / "backup.tar")
    return tmp_path / "backup.tar"


def bring_back(file, home, open_home, clock, *, target=None, report=silent):
    restored = restore(file, home, open_home=open_home, target=target, now=clock(), report=report)
    return restored, None if target else open_home(home)


def files_of(folder: Path) -> dict[str, bytes]:
    names = ("models_store", "snapshots")
    found = (path for name in names for path in (folder / name).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_every_table_of_the_world_has_rows(services):
    assert [name for name, (rows, _) in content(services.database).items() if not rows] == []


def test_what_was_backed_up_comes_back_to_the_last_byte(services, tmp_path, open_home, clock):
    made = back_up(services, tmp_path / "backup.tar")
    assert (made.bundles, made.snapshots, made.missing, made.fault) == (4, 2, [], None)
    assert made.bytes == (tmp_path / "backup.tar").stat().st_size
    restored, again = bring_back(tmp_path / "backup.tar", tmp_path / "again", open_home, clock)
    assert (restored.rows, restored.forecasts, restored.head) == (made.rows, made.forecasts, made.head)
    assert content(again.database, but="workers") == content(services.database, but="workers")
    assert lines(again.database, "workers") == []
    assert bodies(again.database) == bodies(services.database)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "home")
    assert answered(again) == answered(services)
    assert {path.name for path in (tmp_path / "again").iterdir()} >= {"morrow.db", "models_store", "snapshots"}
    again.database.close()


def test_two_backups_of_the_same_hold_the_same_and_nothing_is_written_over(sqlite_services, archive, tmp_path):
    back_up(sqlite_services, tmp_path / "second.tar")
    assert archive.read_bytes() == (tmp_path / "second.tar").read_bytes()
    with pytest.raises(TargetNotEmpty):
        back_up(sqlite_services, archive)
    assert archive.read_bytes() == (tmp_path / "second.tar").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_backup_of_either_database_is_restored_into_either(services, target, tmp_path, open_home, clock):
    back_up(services, tmp_path / "backup.tar")
    bring_back(tmp_path / "backup.tar", tmp_path / "again", open_home, clock, target=target)
    assert content(target, but="workers") == content(services.database, but="workers")
    assert bodies(target) == bodies(services.database)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "home")
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"models_store", "snapshots"}


def test_nothing_is_restored_over_what_is_there(sqlite_services, archive, tmp_path, open_home, clock):
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mine.txt").write_text("keep me")
    with pytest.raises(TargetNotEmpty, match=r"mine\.txt"):
        bring_back(archive, tmp_path / "again", open_home, clock)
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["mine.txt"]
    said = []
    with pytest.raises(TargetNotEmpty, match="has rows"):
        bring_back(
            archive,
            tmp_path / "other",
            open_home,
            clock,
            target=sqlite_services.database,
            report=lambda *step: said.append(step),
        )
    assert said == [], "it is refused before any work"
    assert list((tmp_path / "other").iterdir()) == []


def test_what_a_killed_restore_left_behind_is_in_nobodys_way(archive, tmp_path, open_home, clock):
    (tmp_path / "again" / ".restoring-1" / "models_store").mkdir(parents=True)
    (tmp_path / "again" / "lost+found").mkdir()
    _, again = bring_back(archive, tmp_path / "again", open_home, clock)
    assert not (tmp_path / "again" / ".restoring-1").exists()
    again.database.close()


def test_of_two_restores_into_one_home_the_second_is_refused_while_the_first_is_under_way(
    archive, tmp_path, open_home, clock
):
    refused = []

    def another(*step):
        with pytest.raises(StoreUnavailable, match="is under way") as caught:
            bring_back(archive, tmp_path / "again", open_home, clock)
        refused.append(caught.value)

    _, again = bring_back(archive, tmp_path / "again", open_home, clock, report=another)
    assert len(refused) > 1
    assert answered(again)
    again.database.close()


def test_what_made_a_restore_fail_is_told_whatever_else_is_in_the_home_by_then(archive, tmp_path, open_home, clock):
    def interrupted(*step):
        (tmp_path / "again" / "mine.txt").write_text("keep me")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_back(archive, tmp_path / "again", open_home, clock, report=interrupted)
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["mine.txt"]


def test_a_home_that_is_in_use_beside_an_empty_mark_is_started_on_and_not_restored_over(
    sqlite_services, archive, tmp_path, open_home, clock
):
    home, files = tmp_path / "home", files_of(tmp_path / "home")
    (home / ".restoring-1").mkdir()
    with pytest.raises(TargetNotEmpty, match=r"morrow\.db"):
        bring_back(archive, home, open_home, clock)
    assert files_of(home) == files
    started = open_home(home)
    assert answered(started) == answered(sqlite_services)
    assert not (home / ".restoring-1").exists()
    started.database.close()


def test_a_database_that_holds_the_rows_already_ends_a_restore_however_often_it_is_cut_off(
    archive, target, tmp_path, open_home, clock
):
    bring_back(archive, tmp_path / "first", open_home, clock, target=target)

    def interrupted(*step):
        raise KeyboardInterrupt

    home = tmp_path / "again"
    (home / ".restoring-1" / "models_store").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        bring_back(archive, home, open_home, clock, target=target, report=interrupted)
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == [".restoring-1"]
    bring_back(archive, home, open_home, clock, target=target)
    assert files_of(home) == files_of(tmp_path / "first")


def test_a_backup_that_is_cut_short_anywhere_is_refused(archive, tmp_path, open_home, clock):
    whole = archive.read_bytes()
    dice = random.Random(5)
    # The last blocks of a tar are empty.
    end = len(whole.rstrip(b"\0"))
    for length in [0, 1, 511, 512, end - 1, *(dice.randrange(end) for _ in range(20))]:
        archive.write_bytes(whole[:length])
        with pytest.raises(CorruptBackup):
            bring_back(archive, tmp_path / "again", open_home, clock)
        assert list((tmp_path / "again").iterdir()) == [] if (tmp_path / "again").exists() else True


def test_a_flipped_bit_is_noticed_or_was_of_no_account(sqlite_services, archive, tmp_path, open_home, clock):
    whole = bytearray(archive.read_bytes())
    dice = random.Random(11)
    noticed, before = 0, content(sqlite_services.database, but="workers")
    for place in (dice.randrange(len(whole)) for _ in range(25)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << dice.randrange(8)
        archive.write_bytes(flipped)
        home = tmp_path / f"again-{place}"
        try:
            _, again = bring_back(archive, home, open_home, clock)
        except CorruptBackup:
            noticed += 1
            assert not home.exists() or list(home.iterdir()) == []
        else:  # what fills the blocks of a tar up says nothing
            assert content(again.database, but="workers") == before
            assert files_of(home) == files_of(tmp_path / "home")
            again.database.close()
            shutil.rmtree(home)
    assert noticed > 12


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/etc/passwd", tarfile.REGTYPE),
        ("../outside", tarfile.REGTYPE),
        ("models_store/../../outside", tarfile.REGTYPE),
        ("snapshots/link", tarfile.SYMTYPE),
        ("snapshots/hard", tarfile.LNKTYPE),
        ("registry/device", tarfile.CHRTYPE),
        ("snapshots", tarfile.DIRTYPE),
    ],
)
def test_a_member_with_no_place_in_a_backup_is_refused(archive, tmp_path, open_home, clock, name, kind):
    with tarfile.open(archive, "a") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member, io.BytesIO())
    with pytest.raises(CorruptBackup, match="no place"):
        bring_back(archive, tmp_path / "again", open_home, clock)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "again").exists()


def test_a_member_that_nothing_names_is_refused(archive, tmp_path, open_home, clock):
    with tarfile.open(archive, "a") as tar:
        tar.addfile(tarfile.TarInfo("snapshots/planted.gz"), io.BytesIO())
    with pytest.raises(CorruptBackup, match="does not hold what it says"):
        bring_back(archive, tmp_path / "again", open_home, clock)


@pytest.mark.parametrize("garbage", [b"", b"no archive at all" * 100, b"\0" * 10240])
def test_what_is_no_backup_is_refused(tmp_path, open_home, clock, garbage):
    (tmp_path / "backup.tar").write_bytes(garbage)
    with pytest.raises(CorruptBackup):
        bring_back(tmp_path / "backup.tar", tmp_path / "again", open_home, clock)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path, open_home, clock):
    with pytest.raises(StoreUnavailable, match="No such file"):
        bring_back(tmp_path / "nowhere.tar", tmp_path / "again", open_home, clock)


def test_a_backup_of_a_newer_program_is_refused(sqlite_services, tmp_path, open_home, clock, monkeypatch):
    monkeypatch.setattr(backing_up, "present_revision", lambda tx: "9999")
    back_up(sqlite_services, tmp_path / "backup.tar")
    with pytest.raises(StoreUnavailable, match="newer program"):
        bring_back(tmp_path / "backup.tar", tmp_path / "again", open_home, clock)
    assert list((tmp_path / "again").iterdir()) == []


def test_damage_that_was_there_before_is_told_of_and_stops_neither(sqlite_services, tmp_path, open_home, clock):
    with sqlite_services.database.read() as tx:
        bundle, snapshot_id = kept_files.bundles(tx)[0], kept_files.snapshot_ids(tx)[0]
    (tmp_path / "home" / "models_store" / bundle.location / "spec.json").write_bytes(b"{}")
    lose_bars(sqlite_services, snapshot_id)
    made = back_up(sqlite_services, tmp_path / "backup.tar")
    assert made.missing == [f"models_store/{bundle.location}", f"snapshots/{snapshot_id}"]
    assert (made.bundles, made.snapshots) == (3, 1)
    restored, again = bring_back(tmp_path / "backup.tar", tmp_path / "again", open_home, clock)
    assert (restored.bundles, restored.snapshots, restored.missing) == (3, 1, made.missing)
    assert content(again.database, but="workers") == content(sqlite_services.database, but="workers")
    again.database.close()


def test_a_version_that_is_deleted_while_it_is_copied_is_left_out(sqlite_services, tmp_path, monkeypatch):
    add_version(sqlite_services, "CCC")
    read, deleted = sqlite_services.artifacts.read, []

    def read_and_delete(key, name, *, sha256):
        if not deleted:
            with sqlite_services.database.write() as tx:
                deleted.append(versions.delete(tx, "CCC", 1))
            sqlite_services.artifacts.delete(deleted[0])
        return read(key, name, sha256=sha256)

    monkeypatch.setattr(sqlite_services.artifacts, "read", read_and_delete)
    made = back_up(sqlite_services, tmp_path / "backup.tar")
    assert (made.bundles, made.missing) == (4, [])


def test_a_full_disk_leaves_nothing(sqlite_services, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.keeping.archive.os.fsync", full)
    with pytest.raises(StoreUnavailable, match="No space"):
        back_up(sqlite_services, tmp_path / "backups.tar")
    assert [path.name for path in tmp_path.iterdir() if "backups" in path.name] == []


@pytest.mark.parametrize("room", [10_000, 20_000, 40_000])
def test_a_disk_that_takes_no_more_of_it_leaves_nothing(sqlite_services, tmp_path, room):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(StoreUnavailable, match="too large"):
            back_up(sqlite_services, tmp_path / "backups.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir() if "backups" in path.name] == []


@pytest.mark.parametrize("move", [move_registry, lambda *_, **named: None], ids=["committed", "refused"])
def test_a_move_out_of_unknown_end_leaves_the_mark_and_the_next_restore_ends_it(
    archive, target, tmp_path, open_home, clock, monkeypatch, move
):
    def lost(*databases, **named):
        move(*databases, **named)
        raise StoreUnavailable("The connection was lost at the commit.")

    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr("app.keeping.restore.move_registry", lost)
        bring_back(archive, tmp_path / "again", open_home, clock, target=target)
    assert [path.name[:11] for path in (tmp_path / "again").rglob("*")] == [".restoring-"]
    bring_back(archive, tmp_path / "again", open_home, clock, target=target)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "home")
