from __future__ import annotations

import errno
import gzip
import hashlib
import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from app.domain.history import Action
from app.errors import CorruptArtifact, StoreUnavailable
from app.objects.s3 import Patience, S3Folder
from app.prices.snapshot_folder import SnapshotFolder
from app.prices.snapshots import SnapshotStore
from tests.prices.making import changed, walk
from tests.support.disk import failing_disk, refuse
from tests.support.s3_server import CREDENTIALS, FAILURES, new_bucket, s3_server

COLUMNS = ("sessions", "open", "high", "low", "close", "adj_close", "volume")


class OnDisk:
    """A folder of snapshots, seen from behind the store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, below: str = "") -> SnapshotFolder:
        return SnapshotFolder(self.folder / below)

    def names(self) -> list[str]:
        return [str(path.relative_to(self.folder)) for path in sorted(self.folder.rglob("*")) if path.is_file()]

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def age(self, name: str, written: datetime) -> None:
        os.utime(self.folder / name, (written.timestamp(), written.timestamp()))


class OnS3:
    """A bucket of snapshots, seen from behind the store."""

    def __init__(self, server) -> None:
        self.server, self.bucket = server, new_bucket()
        self.names, self.read, self.write = self.bucket.names, self.bucket.read, self.bucket.write
        self.age = self.bucket.age

    def files(self, below: str = "", patience: Patience | None = None) -> S3Folder:
        url = f"{self.bucket.url}/{below}"
        return S3Folder(url, holds="store of snapshots", endpoint_url=self.server.url, patience=patience)


@pytest.fixture
def s3(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as server:
        yield OnS3(server)


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    return OnDisk(tmp_path / "snapshots") if request.param == "local" else request.getfixturevalue("s3")


@pytest.fixture
def store(place):
    return SnapshotStore(place.files())


@pytest.fixture
def history():
    plain = changed(walk(), volume={3: np.nan}, close={4: 0.1 + 0.2, 5: 1e-300})
    extra = MappingProxyType({"weighted_price": plain.bars.close / 3, "a": plain.bars.open})
    return replace(
        plain,
        bars=replace(plain.bars, extra=extra),
        currency="USD",
        timezone="America/New_York",
        instrument="EQUITY",
        price_basis="split_adjusted",
        actions=(Action(session=date(2015, 1, 5), kind="split", value=2.0),),
    )


def test_a_snapshot_comes_back_bit_for_bit(store, history):
    back = store.load(store.save(history))
    for name in COLUMNS:
        assert getattr(back.bars, name).tobytes() == getattr(history.bars, name).tobytes()
        assert getattr(back.bars, name).dtype == getattr(history.bars, name).dtype
    assert {name: values.tolist() for name, values in back.bars.extra.items()} == {
        name: values.tolist() for name, values in history.bars.extra.items()
    }
    for name in ("ticker", "source", "currency", "timezone", "instrument", "price_basis", "actions"):
        assert getattr(back, name) == getattr(history, name)


def test_the_name_is_the_hash_of_the_text_that_is_kept(store, place, history):
    snapshot_id = store.save(history)
    (name,) = place.names()
    assert name == f"{snapshot_id.removeprefix('sha256:')}.gz"
    assert f"{hashlib.sha256(gzip.decompress(place.read(name))).hexdigest()}.gz" == name


def test_the_same_history_has_the_same_name_and_bytes_everywhere(place, history):
    first, second = SnapshotStore(place.files("a")), SnapshotStore(place.files("b"))
    assert first.save(history) == second.save(history) == first.save(history)
    one, other = place.names()
    assert (one.removeprefix("a/"), place.read(one)) == (other.removeprefix("b/"), place.read(other))


def test_another_value_or_fact_makes_another_name(store, history):
    ids = {store.save(h) for h in (history, changed(history, close={9: 7.0}), replace(history, currency="EUR"))}
    assert len(ids) == 3


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"", lambda data: gzip.compress(b"other\n")])
def test_a_damaged_file_is_noticed_and_saving_again_mends_it(store, place, history, damage):
    snapshot_id = store.save(history)
    (name,) = place.names()
    place.write(name, damage(place.read(name)))
    with pytest.raises(CorruptArtifact):
        store.load(snapshot_id)
    store.save(history)
    assert len(store.load(snapshot_id)) == 60


@pytest.mark.parametrize("snapshot_id", ["sha256:" + "0" * 64, "sha256:../../secret", "", "latest"])
def test_a_name_without_a_file_is_refused(store, snapshot_id):
    with pytest.raises(CorruptArtifact):
        store.load(snapshot_id)


def test_old_files_that_nothing_names_are_strays_and_what_others_keep_is_none(store, place, history):
    now = datetime.now(UTC)
    known, old, new = (store.save(changed(history, close={9: value})) for value in (7.0, 8.0, 9.0))
    for name in (".new-half", "notes.txt", f"{'0' * 64}.gz.txt"):
        place.write(name, b"")
    for name in place.names():
        if name not in new.replace("sha256:", "") + ".gz":
            place.age(name, now - timedelta(days=9))
    before = place.names()
    strays = store.strays({known}, before=now - timedelta(days=2))
    assert strays == sorted([".new-half", f"{old.removeprefix('sha256:')}.gz"])
    assert [store.remove(name, may_go=lambda snapshot_id: True) for name in strays] == [True, True]
    assert place.names() == [name for name in before if name not in strays]


def test_a_stray_that_somebody_keeps_anew_stays(store, place, history):
    snapshot_id = store.save(history)
    assert store.remove(place.names()[0], may_go=lambda one: one != snapshot_id) is False
    assert len(store.load(snapshot_id)) == 60


def test_nothing_is_stray_where_nothing_was_ever_kept(store):
    assert store.strays(set(), before=datetime.now(UTC)) == []


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path, history):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StoreUnavailable):
        SnapshotStore(SnapshotFolder(blocked)).save(history)
    assert blocked.read_text() == "in the way"


def test_a_disk_that_cannot_be_read_is_not_called_damaged(tmp_path, history):
    store = SnapshotStore(SnapshotFolder(tmp_path))
    snapshot_id = store.save(history)
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreUnavailable) as caught:
        store.load(snapshot_id)
    assert caught.value.facts["reason"] == "EISDIR"
    assert [entry.name for entry in os.scandir(tmp_path)] == [path.name]


@pytest.mark.parametrize("number", range(1, 12))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_step_keeps_all_of_a_snapshot_or_nothing(tmp_path, history, code, number):
    store = SnapshotStore(SnapshotFolder(tmp_path / "snapshots"))
    with failing_disk(number, refuse(code)) as steps:
        try:
            store.save(history)
        except StoreUnavailable as error:
            assert error.facts["reason"] == errno.errorcode[code]
            assert len(steps) >= number
        else:
            assert len(steps) < number
            assert {"mkdir", "open", "write", "fsync", "replace"} <= set(steps)
    kept = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert kept in ([], [f"{store.save(history).removeprefix('sha256:')}.gz"])
    assert len(store.load(store.save(history))) == 60


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("number", [1, 2])
def test_a_server_that_fails_stores_all_of_a_snapshot_or_nothing_and_is_not_called_damaged(s3, history, number, how):
    store = SnapshotStore(s3.files(patience=Patience(silent_seconds=1.5, tries=1)))
    s3.server.fail_request(number, how, tries=1000)
    with pytest.raises(StoreUnavailable):
        store.save(history)
    s3.server.fail_request(1, how, tries=1000)
    with pytest.raises(StoreUnavailable):
        store.load("sha256:" + "0" * 64)
    s3.server.fail = None
    assert len(s3.names()) == (number == 2 and how in ("lost", "half"))
    assert len(store.load(store.save(history))) == 60
    assert len(s3.names()) == 1
