from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.artifacts.base import MANIFEST, manifest_bytes, manifest_sha256
from app.artifacts.local import STAGING, LocalArtifacts
from app.errors import Conflict, CorruptArtifact, NoSuchArtifact, StoreUnavailable

KEY = "0123456789abcdef/1"
FILES = {"model.onnx": b"network", "spec.json": b"{}"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def staged(store: LocalArtifacts) -> list[Path]:
    folder = store.path(KEY, MANIFEST).parents[2] / STAGING
    return list(folder.iterdir()) if folder.is_dir() else []


def test_what_is_published_can_be_read_and_its_manifest_lies_beside_it(store):
    manifest = store.publish(KEY, FILES)
    assert manifest["files"]["model.onnx"] == {"sha256": sha256(b"network"), "bytes": 7}
    assert store.read(KEY, "model.onnx", sha256=sha256(b"network")) == b"network"
    written = store.path(KEY, MANIFEST).read_bytes()
    assert json.loads(written) == manifest
    assert written == manifest_bytes(manifest)
    assert sha256(written) == manifest_sha256(manifest)
    assert staged(store) == []


def test_a_published_bundle_never_changes(store):
    store.publish(KEY, FILES)
    with pytest.raises(Conflict):
        store.publish(KEY, {"model.onnx": b"another"})
    assert store.read(KEY, "model.onnx", sha256=sha256(b"network")) == b"network"
    assert staged(store) == []


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b"netwerk"), Path.unlink, lambda p: p.write_bytes(b"")])
def test_an_altered_or_missing_file_is_corrupt(store, damage):
    store.publish(KEY, FILES)
    damage(store.path(KEY, "model.onnx"))
    with pytest.raises(CorruptArtifact) as caught:
        store.read(KEY, "model.onnx", sha256=sha256(b"network"))
    assert caught.value.facts["key"] == KEY


@pytest.mark.parametrize(
    "key",
    [
        "",
        "AAPL/1",
        "../../etc/1",
        "0123456789abcdef",
        "0123456789abcdef/0",
        "0123456789abcdef/1/2",
        "/etc/passwd",
        KEY + "\n",
    ],
)
def test_a_key_that_is_not_ours_never_becomes_a_path(store, key):
    for use in (store.delete, lambda key: store.path(key, "spec.json"), lambda key: store.publish(key, FILES)):
        with pytest.raises(NoSuchArtifact):
            use(key)


@pytest.mark.parametrize("name", ["", ".", "..", "../spec.json", "a/b", ".hidden", "Spec.json", "x" * 65, "a\x00b"])
def test_a_name_that_is_not_ours_never_becomes_a_path(store, name):
    with pytest.raises(NoSuchArtifact):
        store.path(KEY, name)
    with pytest.raises(NoSuchArtifact):
        store.publish(KEY, {name: b""})
    assert staged(store) == []


def test_a_deleted_bundle_is_gone_and_deleting_it_again_is_no_error(store):
    store.publish(KEY, FILES)
    store.delete(KEY)
    store.delete(KEY)
    assert not store.path(KEY, MANIFEST).parent.exists()
    assert staged(store) == []
    with pytest.raises(CorruptArtifact):
        store.read(KEY, "model.onnx", sha256=sha256(b"network"))


def test_the_sweep_takes_old_leftovers_and_old_unknown_bundles_only(store):
    now = datetime.now(UTC)
    known, unknown, fresh = KEY, "0123456789abcdef/2", "0123456789abcdef/3"
    for key in (known, unknown, fresh):
        store.publish(key, FILES)
    staging = store.path(KEY, MANIFEST).parents[2] / STAGING
    for name in ("old", "new"):
        (staging / name).mkdir()
        (staging / name / "model.onnx").write_bytes(b"half")
    long_ago = now.timestamp() - 3601
    for path in (store.path(known, MANIFEST).parent, store.path(unknown, MANIFEST).parent, staging / "old"):
        os.utime(path, (long_ago, long_ago))
    assert store.sweep({known}, older_than_seconds=3600, now=now) == [f"{STAGING}/old", unknown]
    assert [path.name for path in staged(store)] == ["new"]
    assert store.path(known, MANIFEST).exists()
    assert store.path(fresh, MANIFEST).exists()
    assert not store.path(unknown, MANIFEST).exists()


def test_the_sweep_of_a_store_that_does_not_exist_yet_finds_nothing(store):
    assert store.sweep(set(), older_than_seconds=0, now=datetime.now(UTC)) == []


def test_a_store_that_can_be_written_says_so_and_keeps_nothing(store):
    assert store.check_writable() is None
    assert staged(store) == []


def test_a_store_on_a_file_cannot_be_written(tmp_path: Path):
    (tmp_path / "models").write_bytes(b"")
    store = LocalArtifacts(tmp_path / "models")
    with pytest.raises(StoreUnavailable):
        store.check_writable()
    with pytest.raises(StoreUnavailable):
        store.publish(KEY, FILES)


@pytest.mark.parametrize("number", range(1, 12))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", ["fsync", "rename", "open", "mkdir"])
def test_a_disk_that_fails_at_any_step_leaves_a_whole_bundle_or_none(store, monkeypatch, name, code, number):
    calls = 0
    works: Callable = getattr(os, name)

    def fails(*args, **options):
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(code, os.strerror(code))
        return works(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, name, fails)
        try:
            manifest = store.publish(KEY, FILES)
        except StoreUnavailable as error:
            assert error.facts["reason"] == errno.errorcode[code]
            manifest = None
    assert (manifest is None) == (calls >= number)
    folder = store.path(KEY, MANIFEST).parent
    if folder.exists():
        for file, facts in json.loads((folder / MANIFEST).read_bytes())["files"].items():
            assert store.read(KEY, file, sha256=facts["sha256"]) == FILES[file]
    else:
        store.publish(KEY, FILES)
    assert staged(store) == []
