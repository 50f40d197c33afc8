from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.artifacts.base import MANIFEST
from app.artifacts.local import STAGING, LocalArtifacts

PUBLISH = """
import os, sys
from pathlib import Path
from app.artifacts.local import LocalArtifacts
store, run = LocalArtifacts(Path(sys.argv[1])), int(sys.argv[2])
for number in range(1, 10_000):
    store.publish(f"{run:016x}/{number}", {"model.onnx": os.urandom(300_000), "spec.json": b"{}"})
    print(number, flush=True)
"""
KILLS = 15


@pytest.mark.slow
def test_kill_9_while_publishing_never_leaves_a_torn_bundle(tmp_path: Path):
    dice = random.Random(7)
    confirmed = 0
    for run in range(KILLS):
        command = [sys.executable, "-c", PUBLISH, str(tmp_path), str(run)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            timer = threading.Timer(dice.uniform(0.01, 0.15), process.kill)
            timer.start()
            confirmed += 1 + len(process.stdout.read().split())
            timer.join()
        assert process.wait() == -9

    store = LocalArtifacts(tmp_path)
    bundles = [path for path in tmp_path.glob("*/*") if path.parent.name != STAGING]
    manifests = [path / MANIFEST for path in bundles]
    assert all(manifest.is_file() for manifest in manifests)
    assert len(bundles) >= confirmed >= KILLS
    for manifest in manifests:
        files = json.loads(manifest.read_bytes())["files"]
        assert set(files) == {"model.onnx", "spec.json"}
        for name, facts in files.items():
            assert hashlib.sha256((manifest.parent / name).read_bytes()).hexdigest() == facts["sha256"]

    known = {f"{path.parent.name}/{path.name}" for path in bundles}
    store.sweep(known, older_than_seconds=3600, now=datetime.now(UTC) + timedelta(hours=2))
    assert list((tmp_path / STAGING).iterdir()) == []
    assert all(manifest.is_file() for manifest in manifests)
