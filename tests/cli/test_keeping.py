"""``morrow backup | restore | migrate-registry | prune`` as people call them."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.bootstrap import open_services
from app.domain.access import Scope
from app.jobs import fleet, leases, submission
from app.registry import audit, kept_files, keys
from app.settings import Settings
from tests.api.conftest import Clock
from tests.db.databases import postgres_schema
from tests.keeping.world import NOW, content, fill, lose_bars


@pytest.fixture
def services(tmp_path):
    opened = open_services(Settings(home=tmp_path / "home"), clock=Clock(NOW))
    fill(opened)
    yield opened
    opened.database.close()


def test_a_backup_is_restored_into_a_new_home(run, services, tmp_path):
    taken = run("backup", str(tmp_path / "b.tar"))
    assert (taken.returncode, taken.stderr) == (0, "")
    assert "4 bundles, 2 snapshots" in taken.stdout
    restored = run("restore", str(tmp_path / "b.tar"), "--home", str(tmp_path / "again"))
    assert (restored.returncode, restored.stderr) == (0, "")
    assert "4 bundles, 2 snapshots" in restored.stdout
    head = [line.rpartition(" ")[2] for line in (taken.stdout.splitlines()[-1], restored.stdout.splitlines()[-1])]
    assert len(head[0]) == 65
    assert head[0] == head[1]
    assert head[0] in run("verify", home=str(tmp_path / "again")).stdout
    shown = run("forecast", "AAA", "--json")
    assert (shown.returncode, run("forecast", "AAA", "--json", home=str(tmp_path / "again"))) == (0, shown)


def test_a_restored_folder_takes_the_place_of_the_home_that_it_lies_in_as_the_operator_is_told(run, services, tmp_path):
    told = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (change_places,) = re.findall(r"sh worker -c '(cd /data && mkdir old[^']*)'", told)
    home = tmp_path / "home"
    run("backup", str(tmp_path / "b.tar"))
    before = run("verify").stdout
    run("restore", str(tmp_path / "b.tar"), "--home", str(home / "restored"))
    (home / "morrow.db").write_bytes(b"garbage")
    subprocess.run(["sh", "-euc", change_places.replace("/data", str(home))], check=True)
    assert run("verify").stdout == before
    assert (home / "old" / "morrow.db").read_bytes() == b"garbage"
    assert not (home / "restored").exists()


def test_a_home_that_is_made_here_is_nobody_elses_to_read(run, services, tmp_path):
    run("backup", str(tmp_path / "b.tar"))
    run("restore", str(tmp_path / "b.tar"), "--home", str(tmp_path / "again"))
    assert [(tmp_path / home).stat().st_mode & 0o777 for home in ("home", "again")] == [0o700, 0o700]


@pytest.mark.parametrize(
    "words",
    [
        *(["backup", "b.tar"], ["verify"], ["prune"], ["migrate-registry", "--to", "sqlite:///x"]),
        *(["models"], ["jobs"], ["forecast", "AAA"], ["refresh"], ["keys", "list"], ["keys", "revoke", "x"], ["audit"]),
    ],
    ids=" ".join,
)
def test_who_looks_at_a_registry_is_told_that_there_is_none(run, tmp_path, words):
    ended = run(*words, home=str(tmp_path / "mistyped"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        f"There is no registry {tmp_path / 'mistyped' / 'morrow.db'}: is MORROW_HOME the right folder?" in ended.stderr
    )
    assert not (tmp_path / "mistyped").exists()


def test_a_restore_names_the_keys_that_are_valid_again(run, services, tmp_path):
    with services.database.write() as tx:
        stays, _ = keys.create(tx, name="dashboard", scope=Scope.READ, by="cli", now=NOW)
        goes, _ = keys.create(tx, name="of a thief", scope=Scope.ADMIN, by="cli", now=NOW + timedelta(hours=1))
        past = datetime.now(UTC) - timedelta(days=1)
        keys.create(tx, name="over", scope=Scope.READ, expires_at=past, by="cli", now=past - timedelta(days=1))
    run("backup", str(tmp_path / "b.tar"))
    assert run("keys", "revoke", goes.key_id).returncode == 0
    again = {"home": str(tmp_path / "again")}
    said = run("restore", str(tmp_path / "b.tar"), "--home", again["home"]).stdout
    named = f"dashboard ({stays.key_id}, read), of a thief ({goes.key_id}, admin)"
    assert f"2 keys are valid, as on that day: {named}." in said
    assert "`morrow keys list`, `morrow keys revoke ID`" in said
    assert "opens nothing" in run("keys", "revoke", goes.key_id, **again).stdout


def test_a_home_that_was_half_restored_is_not_started_on(run, services, tmp_path):
    run("backup", str(tmp_path / "b.tar"))
    (tmp_path / "again" / ".restoring-1").mkdir(parents=True)
    (tmp_path / "again" / "models_store").mkdir()
    refused = run("verify", home=str(tmp_path / "again"))
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert "run the same one again" in refused.stderr
    assert run("restore", str(tmp_path / "b.tar"), "--home", str(tmp_path / "again")).returncode == 0
    assert run("verify", home=str(tmp_path / "again")).returncode == 0


def test_what_cannot_be_done_is_said_in_one_line(run, services, tmp_path):
    run("backup", str(tmp_path / "b.tar"))
    again = run("backup", str(tmp_path / "b.tar"))
    assert (again.returncode, "target_not_empty" in again.stderr) == (1, True)
    over = run("restore", str(tmp_path / "b.tar"), "--home", str(tmp_path / "home"))
    assert (over.returncode, "target_not_empty" in over.stderr) == (1, True)
    (tmp_path / "b.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:40_000])
    cut = run("restore", str(tmp_path / "b.tar"), "--home", str(tmp_path / "again"))
    assert (cut.returncode, "corrupt_backup" in cut.stderr) == (1, True)
    nowhere = run("backup", str(tmp_path / "nowhere" / "b.tar"))
    assert (nowhere.returncode, "No such file" in nowhere.stderr) == (1, True)
    for ended in (again, over, cut, nowhere):
        assert ended.stderr.count("\n") == 1


def test_a_backup_of_damaged_data_is_kept_and_ends_with_1(run, services, tmp_path):
    with services.database.read() as tx:
        lose_bars(services, kept_files.snapshot_ids(tx)[0])
    taken = run("backup", str(tmp_path / "b.tar"))
    assert (taken.returncode, "damaged or gone" in taken.stderr) == (1, True)
    restored = run("restore", str(tmp_path / "b.tar"), "--home", str(tmp_path / "again"))
    assert (restored.returncode, "damaged or gone" in restored.stderr) == (1, True)


@pytest.mark.postgres
def test_the_registry_moves_to_postgresql_and_back(run, services, tmp_path):
    before = content(services.database)
    for url in postgres_schema():
        moved = run("migrate-registry", "--to", url)
        assert (moved.returncode, moved.stderr) == (0, "")
        assert "both registries hold the same" in moved.stdout
        assert run("forecast", "AAA", "--json", database_url=url) == run("forecast", "AAA", "--json")
        file = f"sqlite:///{tmp_path / 'back.db'}"
        assert run("migrate-registry", "--to", file, database_url=url).returncode == 0
        again = run("migrate-registry", "--to", url)
        assert (again.returncode, "target_not_empty" in again.stderr) == (1, True)
    back = open_services(Settings(home=tmp_path / "home", database_url=file))
    assert content(back.database) == before
    back.database.close()


def test_the_registry_does_not_move_under_workers_or_onto_itself(run, services, tmp_path):
    file = tmp_path / "home" / "morrow.db"
    itself = run("migrate-registry", "--to", f"sqlite:///{file}")
    assert (itself.returncode, itself.stderr) == (2, "error: The registry is there already.\n")
    with services.database.write() as tx:
        fleet.beat(tx, "busy", host="here", pid=1, now=datetime.now(UTC))
    refused = run("migrate-registry", "--to", f"sqlite:///{tmp_path / 'other.db'}")
    assert (refused.returncode, "workers_alive" in refused.stderr) == (1, True)
    assert "1 worker is alive" in refused.stderr


def test_what_would_go_is_said_before_it_goes(run, services, tmp_path):
    long_ago = datetime.now(UTC) - timedelta(days=100)
    with services.database.write() as tx:
        job, _ = submission.submit(tx, kind="train", ticker="T", payload={}, dedupe="x", now=long_ago)
        claimed = leases.claim(tx, owner="w", lease_seconds=9, now=long_ago, only=job.job_id)
        leases.succeed(tx, job.job_id, claimed.fence, result={}, now=long_ago)
        audit.record(tx, who="x", action=audit.BARS_UPLOADED, subject="T", now=long_ago)
    would = run("prune", "--dry-run", keep_versions="1", keep_audit_days="99")
    went = run("prune", "--vacuum", keep_versions="1", keep_audit_days="99")
    assert (would.returncode, went.returncode) == (0, 0)
    assert would.stdout.removeprefix("Would let") == went.stdout.removeprefix("Let")
    assert "1 job," in went.stdout
    assert "1 audit entry," in went.stdout
    assert "1 version," in went.stdout  # of three: the first is champion, the last the newest
