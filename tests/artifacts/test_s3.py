from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from app.artifacts.base import MANIFEST
from app.artifacts.s3 import S3Artifacts
from app.errors import Conflict, CorruptArtifact, StoreUnavailable
from app.objects.s3 import Patience, S3Folder
from tests.artifacts.places import PREFIX, OnS3, is_whole
from tests.artifacts.test_contract import FILES, KEY, WHOLE, sha256
from tests.support.s3_server import CREDENTIALS, FAILURES, SECRET, new_bucket, s3_server

OLD, NEXT = "0123456789abcdef/7", "0123456789abcdef/8"
#: Gives up at once; only what hangs is waited for.
# Long enough for a busy machine whose server is well, short enough to wait for where it is not.
SHORT = Patience(connect_seconds=2.0, silent_seconds=1.5, tries=1, call_seconds=5.0)
STUBBORN = Patience(connect_seconds=2.0, silent_seconds=1.5, tries=3, call_seconds=20.0)
REQUESTS = len(FILES) + 2  # is there a manifest? then the files, then the manifest
#: How many requests hang in their turn, beside those that always do: each takes long.
HANGS = int(os.environ.get("MORROW_HANGS", "0"))
LARGE = bytes(1_000_000)


def failing(how: Sequence[str], *, hangs: Collection[int]) -> list[tuple[int, str]]:
    """Each request with each failure; but only ``hangs`` hang, and as many more as are wanted."""
    numbers = range(1, REQUESTS + 1)
    hang = {*hangs, *[number for number in numbers if number not in hangs][:HANGS]}
    return [(number, failure) for number, failure in product(numbers, how) if failure != "hang" or number in hang]


PUBLISH = """
import os, sys
from app.artifacts.s3 import S3Artifacts
from app.errors import Conflict
from app.objects.s3 import S3Folder
store = S3Artifacts(S3Folder(sys.argv[1], holds="model store", endpoint_url=sys.argv[2]))
store.check_writable()
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range(1, 11):
    try:
        store.publish(f"0123456789abcdef/{number}", {"model.onnx": os.urandom(50_000), "spec.json": b"{}"})
        won.append(number)
    except Conflict:
        pass
print(won)
"""

LOGGED = """
import sys
import structlog
from app.observability.logs import configure_logging
configure_logging("debug", "json")
from app.artifacts.s3 import S3Artifacts
from app.objects.s3 import S3Folder
folder = S3Folder(sys.argv[1], holds="model store", endpoint_url=sys.argv[2])
S3Artifacts(folder).publish("0123456789abcdef/1", {"a": b""})
structlog.get_logger("test").debug("published")
"""


def whole_and_right(place: OnS3, key: str) -> bool:
    """Whether there is a bundle; all its files are what its manifest says, or else this fails."""
    if not is_whole(place, key):
        return False
    for name, facts in json.loads(place.read(f"{key}/{MANIFEST}"))["files"].items():
        assert sha256(place.read(f"{key}/{name}")) == facts["sha256"]
    return True


def shows_no_secret(error: StoreUnavailable, place: OnS3) -> bool:
    """Whether neither the error nor its trace shows a key, or where the server is."""
    said = "".join(traceback.format_exception(error)) + json.dumps(error.to_problem())
    return not any(word in said for word in (SECRET, CREDENTIALS["AWS_ACCESS_KEY_ID"], str(place.server.server_port)))


def test_a_publish_is_as_many_requests_as_are_made_to_fail(s3):
    s3.store.publish(KEY, FILES)
    assert len(s3.server.requests) == REQUESTS
    assert s3.server.requests[-1] == f"PUT /{s3.bucket.name}/{PREFIX}/{KEY}/{MANIFEST}"


@pytest.mark.parametrize(("number", "how"), failing(FAILURES, hangs={1, REQUESTS}))
def test_a_server_that_fails_from_any_request_on_leaves_a_whole_bundle_or_none(s3, number, how):
    store = s3.store
    store.publish(OLD, FILES)
    s3.server.fail_request(number, how, tries=1000)
    with pytest.raises(StoreUnavailable) as caught:
        S3Artifacts(s3.folder(SHORT)).publish(KEY, FILES)
    assert caught.value.facts["reason"]
    assert shows_no_secret(caught.value, s3)
    s3.server.fail = None
    assert whole_and_right(s3, OLD)
    heeded = number == REQUESTS and how in ("lost", "half")
    assert whole_and_right(s3, KEY) == heeded, "the manifest makes the bundle"
    store.publish(NEXT, FILES)
    swept = store.sweep({OLD, NEXT}, older_than_seconds=60, now=datetime.now(UTC) + timedelta(hours=1))
    assert swept == ([KEY] if number > 2 or (how in ("lost", "half") and number == 2) else [])
    store.publish(KEY, FILES)
    assert all(whole_and_right(s3, key) for key in (OLD, KEY, NEXT))


@pytest.mark.parametrize(("number", "how"), failing(["503", "hang", "cut", "lost", "half"], hangs={2}))
def test_one_request_that_fails_is_made_again_and_is_not_taken_for_somebody_elses(s3, number, how):
    s3.server.fail_request(number, how)
    manifest = S3Artifacts(s3.folder(STUBBORN)).publish(KEY, FILES)
    assert len(s3.server.requests) > REQUESTS
    assert json.loads(s3.read(f"{KEY}/{MANIFEST}")) == manifest
    assert whole_and_right(s3, KEY)


@pytest.mark.parametrize("how", FAILURES)
def test_what_cannot_be_read_is_not_called_damaged_nor_served(s3, how):
    store = S3Artifacts(s3.folder(SHORT))
    store.publish(KEY, FILES)
    s3.server.fail_request(1, how, tries=1000)
    with pytest.raises(StoreUnavailable) as caught:
        store.read(KEY, "model.onnx", sha256=sha256(b"network"))
    assert shows_no_secret(caught.value, s3)
    s3.server.fail = None
    assert store.read(KEY, "model.onnx", sha256=sha256(b"network")) == b"network"


@pytest.mark.parametrize("number", range(1, len(WHOLE) + 2))
def test_a_delete_that_fails_half_way_leaves_no_bundle_and_the_sweep_ends_it(s3, number):
    store = S3Artifacts(s3.folder(SHORT))
    store.publish(KEY, FILES)
    s3.server.fail_request(number, "cut", tries=1000)
    with pytest.raises(StoreUnavailable):
        store.delete(KEY)
    s3.server.fail = None
    assert is_whole(s3, KEY) == (number == 1)
    assert store.sweep(set(), older_than_seconds=60, now=datetime.now(UTC) + timedelta(hours=1)) == [KEY]
    assert s3.names() == []


def test_who_meets_another_at_the_same_moment_comes_again_or_finds_him_there(s3):
    s3.server.fail_request(2, "409")
    with pytest.raises(StoreUnavailable) as caught:
        s3.store.publish(KEY, FILES)
    assert caught.value.facts["reason"] == "ConditionalRequestConflict"
    s3.store.publish(KEY, FILES)
    s3.server.fail_request(1, "409")
    assert s3.folder().create(f"{KEY}/model.onnx", b"another") is False
    assert whole_and_right(s3, KEY)


def test_a_leftover_is_nobodys_bundle_and_is_not_built_upon(s3):
    s3.write(f"{KEY}/spec.json", b"of somebody else")
    with pytest.raises(Conflict):
        s3.store.publish(KEY, FILES)
    assert not is_whole(s3, KEY)
    assert s3.read(f"{KEY}/spec.json") == b"of somebody else"


@pytest.mark.usefixtures("front")  # whose clients are quick, also while the other is down
def test_a_server_that_is_down_is_told_and_back_again_needs_no_restart(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    bucket = new_bucket()
    with s3_server() as server:
        stubborn, store = (
            S3Artifacts(S3Folder(bucket.url, holds="model store", endpoint_url=server.url, patience=patience))
            for patience in (STUBBORN, SHORT)
        )
        store.publish(KEY, FILES)
    for use in (
        lambda: stubborn.publish(NEXT, FILES),
        lambda: store.read(KEY, "model.onnx", sha256=sha256(b"network")),
        lambda: store.delete(KEY),
        lambda: store.sweep(set(), older_than_seconds=0, now=datetime.now(UTC)),
        store.check_writable,
    ):
        with pytest.raises(StoreUnavailable) as caught:
            use()
        assert caught.value.facts["reason"] == "EndpointConnectionError"
    with s3_server(port=server.server_port):
        assert store.read(KEY, "model.onnx", sha256=sha256(b"network")) == b"network"
        store.publish(NEXT, FILES)


def test_no_log_shows_a_secret_however_much_is_logged(s3, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token-that-nobody-may-print")
    command = [sys.executable, "-c", LOGGED, s3.bucket.url, s3.server.url]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "published" in ended.stderr
    for word in (SECRET, CREDENTIALS["AWS_ACCESS_KEY_ID"], "a-token-that-nobody-may-print", "Signature"):
        assert word not in ended.stderr + ended.stdout


def test_without_keys_nothing_is_asked(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = S3Artifacts(S3Folder(s3.bucket.url, holds="model store", endpoint_url=s3.server.url))
    with pytest.raises(StoreUnavailable) as caught:
        store.check_writable()
    assert caught.value.facts["reason"] == "NoCredentialsError"
    assert s3.server.requests == []


def test_a_bucket_that_is_not_there_is_no_damage(s3):
    store = S3Artifacts(S3Folder("s3://nobodys-bucket", holds="model store", endpoint_url=s3.server.url))
    for use in (
        lambda: store.publish(KEY, FILES),
        lambda: store.read(KEY, "model.onnx", sha256=""),
        lambda: store.sweep(set(), older_than_seconds=0, now=datetime.now(UTC)),
        store.check_writable,
    ):
        with pytest.raises(StoreUnavailable) as caught:
            use()
        assert caught.value.facts["reason"] == "NoSuchBucket"


def carried(folder: S3Folder, doing: str, data: bytes) -> bytes | bool | None:
    return folder.get("there") if doing == "get" else getattr(folder, doing)("new", data)


@pytest.mark.parametrize(
    ("doing", "seconds", "said"),
    # What is read has its bytes' time once the answer has begun: until then a busy machine needs room.
    [("put", 0.1, None), ("create", 0.1, True), ("get", 1.0, LARGE)],
)
def test_a_slow_line_is_given_the_time_that_so_many_bytes_take(s3, doing, seconds, said):
    s3.folder().put("there", LARGE)
    s3.server.slow_seconds = seconds + 0.2
    s3.server.fail_request(1, "slow")
    patience = Patience(silent_seconds=5.0, tries=1, call_seconds=seconds, slowest_bytes_per_second=1e5)
    assert carried(s3.folder(patience), doing, LARGE) == said
    assert s3.read("there" if doing == "get" else "new") == LARGE


@pytest.mark.parametrize("doing", ["put", "create", "get"])
def test_a_slow_line_is_given_no_more_time_than_its_bytes_take(s3, doing):
    s3.folder().put("there", b"few")
    s3.server.fail_request(1, "slow")
    patience = Patience(silent_seconds=5.0, tries=1, call_seconds=0.1, slowest_bytes_per_second=1e5)
    with pytest.raises(StoreUnavailable) as caught:
        carried(s3.folder(patience), doing, b"few")
    assert "Timeout" in caught.value.facts["reason"]


def test_an_answer_that_does_not_say_how_long_it_is_is_read_all_the_same(s3):
    s3.folder().put("there", b"some bytes")
    s3.server.fail_request(1, "unsized")
    assert s3.folder(SHORT).get("there") == b"some bytes"


def test_a_server_that_overwrites_what_it_should_create_is_found_out(s3):
    s3.server.heeds_conditions = False
    with pytest.raises(StoreUnavailable) as caught:
        s3.store.check_writable()
    assert caught.value.facts["reason"] == "no_conditional_writes"
    assert s3.names() == []


def test_old_probes_are_swept_and_what_others_keep_is_not(s3):
    now = datetime.now(UTC)
    for name in (".probe/0", "notes.txt", "others/1/model.onnx"):
        s3.write(name, b"")
    s3.bucket.write("elsewhere/0123456789abcdef/1/model.onnx", b"")
    assert s3.store.sweep(set(), older_than_seconds=60, now=now + timedelta(hours=1)) == [".probe/0"]
    assert s3.names() == ["elsewhere/0123456789abcdef/1/model.onnx", "notes.txt", "others/1/model.onnx"]


def test_a_store_of_more_objects_than_a_page_lists_is_swept_whole(s3):
    for number in range(1, 1103):
        s3.write(f"0123456789abcdef/{number}/model.onnx", b"")
    known = {f"0123456789abcdef/{number}" for number in range(1, 1102)}
    later = datetime.now(UTC) + timedelta(hours=1)
    assert s3.store.sweep(known, older_than_seconds=60, now=later) == ["0123456789abcdef/1102"]


def test_a_store_may_be_a_whole_bucket(s3):
    store = S3Artifacts(S3Folder(f"{s3.bucket.url}/", holds="model store", endpoint_url=s3.server.url))
    store.publish(KEY, FILES)
    assert s3.bucket.names() == WHOLE
    store.delete(KEY)
    with pytest.raises(CorruptArtifact):
        store.read(KEY, "model.onnx", sha256=sha256(b"network"))


@pytest.mark.slow
def test_of_two_processes_that_publish_the_same_keys_each_is_won_once(s3):
    command = [sys.executable, "-c", PUBLISH, s3.bucket.url + f"/{PREFIX}", s3.server.url]
    pair = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in pair] == ["ready\n"] * 2
    for process in pair:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0] for process in pair]
    one, other = (set(json.loads(won)) for won in said)
    assert (one & other, one | other) == (set(), set(range(1, 11)))
    assert all(whole_and_right(s3, f"0123456789abcdef/{number}") for number in range(1, 11))
