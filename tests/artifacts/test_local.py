from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.artifacts.base import MANIFEST
from app.artifacts.local import LocalArtifacts
from app.errors import StoreUnavailable
from tests.artifacts.places import OnDisk, is_whole
from tests.artifacts.test_contract import FILES, KEY, WHOLE
from tests.chaos.disks import mounted
from tests.support.disk import failing_disk, refuse

MOST_STEPS = 30
FORKS = """
import os, sys
from pathlib import Path
from app.artifacts.local import LocalArtifacts
from tests.support.disk import die, failing_disk
from tests.artifacts.test_contract import FILES, KEY
for number in range(1, 100):
    child = os.fork()
    if not child:
        with failing_disk(number, die):
            LocalArtifacts(Path(sys.argv[1]) / str(number)).publish(KEY, FILES)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_store_on_a_file_cannot_be_written(tmp_path: Path):
    (tmp_path / "models").write_bytes(b"")
    store = LocalArtifacts(tmp_path / "models")
    with pytest.raises(StoreUnavailable):
        store.check_writable()
    with pytest.raises(StoreUnavailable):
        store.publish(KEY, FILES)


def test_a_disk_with_room_for_a_small_file_and_for_no_bundle_cannot_be_written(tmp_path: Path):
    with mounted(tmp_path / "disk", megabytes=6) as disk:
        store = LocalArtifacts(disk / "models")
        store.check_writable()
        filling = disk / "filling"
        filling.write_bytes(bytes(5_000_000))
        with pytest.raises(StoreUnavailable) as caught:
            store.publish(KEY, {"model.onnx": bytes(2_000_000)})
        assert caught.value.facts["reason"] == "ENOSPC"
        with pytest.raises(StoreUnavailable) as caught:
            store.check_writable()
        assert caught.value.facts["reason"] == "ENOSPC"
        filling.unlink()
        store.check_writable()


def test_a_fault_is_put_at_every_step_there_is(local):
    with failing_disk(MOST_STEPS, refuse(errno.EIO)) as steps:
        local.publish(KEY, FILES)
    assert {"mkdir", "open", "write", "fsync", "rename"} <= set(steps)
    assert len(steps) < MOST_STEPS


@pytest.mark.parametrize("number", range(1, MOST_STEPS))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_step_leaves_a_whole_bundle_or_none(local, tmp_path, code, number):
    place = OnDisk(tmp_path / "models")
    with failing_disk(number, refuse(code)) as steps:
        try:
            manifest = local.publish(KEY, FILES)
        except StoreUnavailable as error:
            assert error.facts["reason"] == errno.errorcode[code]
            manifest = None
    assert (manifest is None) == (len(steps) >= number)
    if not is_whole(place, KEY):
        assert place.names() == []
        local.publish(KEY, FILES)
    assert place.names() == WHOLE
    for file, facts in json.loads(place.read(f"{KEY}/{MANIFEST}"))["files"].items():
        assert local.read(KEY, file, sha256=facts["sha256"]) == FILES[file]


@pytest.mark.slow
def test_a_process_killed_at_any_step_leaves_a_whole_bundle_or_none(tmp_path: Path):
    command = [sys.executable, "-c", FORKS, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout.split()
    killed = said.count("-9")
    assert said == ["-9"] * killed + ["0"] * (len(said) - killed)
    assert killed >= 10
    torn = 0
    for number in range(1, len(said) + 1):
        place = OnDisk(tmp_path / str(number))
        torn += bool(place.names()) and not is_whole(place, KEY)
        if not is_whole(place, KEY):
            assert number <= killed
            assert not any(name.startswith(KEY) for name in place.names())
            place.store.publish(KEY, FILES)
        for file, facts in json.loads(place.read(f"{KEY}/{MANIFEST}"))["files"].items():
            assert place.store.read(KEY, file, sha256=facts["sha256"]) == FILES[file]
    assert torn > 0, "no kill came in the middle"
