from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from app.artifacts.base import MANIFEST, manifest_bytes, manifest_sha256
from app.errors import Conflict, CorruptArtifact, NoSuchArtifact
from tests.artifacts.places import is_whole

KEY = "0123456789abcdef/1"
FILES = {"model.onnx": b"network", "spec.json": b"{}"}
WHOLE = sorted(f"{KEY}/{name}" for name in (*FILES, MANIFEST))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_is_published_can_be_read_and_its_manifest_lies_beside_it(store, place):
    manifest = store.publish(KEY, FILES)
    assert manifest["files"]["model.onnx"] == {"sha256": sha256(b"network"), "bytes": 7}
    assert store.read(KEY, "model.onnx", sha256=sha256(b"network")) == b"network"
    written = place.read(f"{KEY}/{MANIFEST}")
    assert json.loads(written) == manifest
    assert written == manifest_bytes(manifest)
    assert sha256(written) == manifest_sha256(manifest)
    assert place.names() == WHOLE


def test_a_published_bundle_never_changes(store, place):
    store.publish(KEY, FILES)
    for another in ({"model.onnx": b"another"}, {"added.json": b"{}"}, FILES):
        with pytest.raises(Conflict):
            store.publish(KEY, another)
    assert store.read(KEY, "model.onnx", sha256=sha256(b"network")) == b"network"
    assert place.names() == WHOLE


@pytest.mark.parametrize(
    "files",
    [lambda n: {"model.onnx": b"%d" % n}, lambda n: {"a.json": b"{}", f"{n}.onnx": b"%d" % n}],
    ids=["the same names", "names of their own"],
)
def test_of_many_who_publish_under_one_key_exactly_one_does(store, place, files):
    published, refused = [], []
    barrier = threading.Barrier(6)

    def publish(number: int) -> None:
        barrier.wait()
        try:
            published.append(store.publish(KEY, files(number)))
        except Conflict:
            refused.append(number)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(published), len(refused)) == (1, 5)
    assert json.loads(place.read(f"{KEY}/{MANIFEST}")) == published[0]
    for name, facts in published[0]["files"].items():
        assert sha256(store.read(KEY, name, sha256=facts["sha256"])) == facts["sha256"]


@pytest.mark.parametrize("damage", [b"netwerk", b"netw", b"", None], ids=["flipped", "truncated", "emptied", "deleted"])
def test_an_altered_or_missing_file_is_corrupt(store, place, damage):
    store.publish(KEY, FILES)
    name = f"{KEY}/model.onnx"
    place.remove(name) if damage is None else place.write(name, damage)
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
def test_a_key_that_is_not_ours_never_becomes_a_path(store, place, key):
    for use in (
        store.delete,
        lambda key: store.read(key, "spec.json", sha256=""),
        lambda key: store.publish(key, FILES),
    ):
        with pytest.raises(NoSuchArtifact):
            use(key)
    assert place.names() == []


@pytest.mark.parametrize("name", ["", ".", "..", "../spec.json", "a/b", ".hidden", "Spec.json", "x" * 65, "a\x00b"])
def test_a_name_that_is_not_ours_never_becomes_a_path(store, place, name):
    with pytest.raises(NoSuchArtifact):
        store.read(KEY, name, sha256="")
    with pytest.raises(NoSuchArtifact):
        store.publish(KEY, {name: b""})
    assert place.names() == []


def test_a_deleted_bundle_is_gone_and_deleting_it_again_is_no_error(store, place):
    store.publish(KEY, FILES)
    other = store.publish("0123456789abcdef/11", FILES)
    store.delete(KEY)
    store.delete(KEY)
    assert {name.rpartition("/")[0] for name in place.names()} == {"0123456789abcdef/11"}
    with pytest.raises(CorruptArtifact):
        store.read(KEY, "model.onnx", sha256=sha256(b"network"))
    assert store.publish(KEY, FILES) == other


def test_the_sweep_takes_old_leftovers_and_old_unknown_bundles_only(store, place):
    now = datetime.now(UTC)
    known, unknown, fresh = KEY, "0123456789abcdef/2", "0123456789abcdef/3"
    for key in (known, unknown, fresh):
        store.publish(key, FILES)
    old, new = place.leave_behind("old", now - timedelta(hours=2)), place.leave_behind("new", now)
    for key in (known, unknown):
        place.age(key, now - timedelta(seconds=3601))
    assert store.sweep({known}, older_than_seconds=3600, now=now) == [old, unknown]
    assert {name.rpartition("/")[0] for name in place.names()} == {known, fresh, new}
    assert (is_whole(place, known), is_whole(place, fresh), is_whole(place, unknown)) == (True, True, False)


def test_the_sweep_of_a_store_that_does_not_exist_yet_finds_nothing(store):
    assert store.sweep(set(), older_than_seconds=0, now=datetime.now(UTC)) == []


def test_a_store_that_can_be_written_says_so_and_keeps_nothing(store, place):
    assert store.check_writable() is None
    assert store.check_writable() is None
    assert place.names() == []


def test_a_store_belongs_to_nobody_until_it_is_taken_by_who_knows_its_oldest_bundle(store, place):
    first, second = KEY, "0123456789abcdef/2"
    store.take("empty", known={first})
    for key, hours in ((first, 2), (second, 1)):
        store.publish(key, FILES)
        place.age(key, datetime.now(UTC) - timedelta(hours=hours))
    store.take("another", known={second, "0123456789abcdef/3"})
    assert store.owner() is None
    store.take("ours", known={first})
    assert place.store.owner() == "ours"
    later = datetime.now(UTC) + timedelta(hours=1)
    assert store.sweep({first}, older_than_seconds=60, now=later) == [second]
    assert place.store.owner() == "ours"
