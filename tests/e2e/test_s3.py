"""A service whose bundles and snapshots are on S3: trained by one host, served by another that shares no folder."""

from __future__ import annotations

import json
import shutil

import pytest

from app.artifacts.base import MANIFEST
from tests.e2e.service import running
from tests.support.s3_server import CREDENTIALS, SECRET, new_bucket, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

SMALL = {"architecture": "lstm", "features": ["returns"], "window": 5, "units": [2], "epochs": 2, "batch_size": 512}
BAR = ("session", "open", "high", "low", "close", "volume")
ORDER = {
    **{"ticker": "^GSPC", "spec": SMALL, "promote": "never"},
    "data": {"source": "sample", "start": "2010-01-01"},
}


def test_what_one_host_trains_another_serves_from_s3(tmp_path):
    bucket, here, there = new_bucket(), tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with s3_server() as server:
        settings = {
            **CREDENTIALS,
            "MORROW_SOURCE": "sample",
            "MORROW_MODELS_STORE": f"{bucket.url}/models",
            "MORROW_SNAPSHOTS_STORE": f"{bucket.url}/snapshots",
            "MORROW_S3_ENDPOINT_URL": server.url,
        }
        with running(here, **settings) as service:
            job = service.finished("/v1/train", ORDER)
            assert job["state"] == "succeeded", job["error"]
            trained = service.ask("/v1/forecasts/^GSPC?model=1")[1]
            assert trained["model"]["version"] == 1
            _, version = service.ask("/v1/models/^GSPC/versions/1")
            kept = service.ask("/v1/tickers/^GSPC/bars")[1]["items"][-60:]
            own = {"ticker": "^GSPC", "model": "1", "bars": [{name: bar[name] for name in BAR} for bar in kept]}
            status, answer = service.ask("/v1/forecasts", own)
            assert status == 200, answer

        # Another host: the registry's database, and nothing of the folders.
        assert not (here / "models_store").exists()
        assert not (here / "snapshots").exists()
        shutil.copy(here / "morrow.db", there / "morrow.db")
        with running(there, "api", **settings) as service:
            assert service.ask("/v1/forecasts/^GSPC?model=1")[1]["steps"] == trained["steps"]
            assert service.ask("/v1/forecasts", own)[1]["steps"] == answer["steps"]
            server.fail = lambda number, method, path: "503"
            assert service.ask("/v1/forecasts/^GSPC?model=1")[1]["steps"] == trained["steps"]
            assert service.ask("/v1/forecasts", own)[1]["steps"] == answer["steps"]
            assert service.ask("/v1/models/^GSPC/versions/1/curves")[0] == 503
            server.fail = None
            assert service.ask("/v1/models/^GSPC/versions/1/curves")[0] == 200

    (manifest,) = [name for name in bucket.names() if name.endswith(f"/{MANIFEST}")]
    files = json.loads(bucket.read(manifest))["files"]
    assert {name: facts["sha256"] for name, facts in files.items()} == {
        name: facts["sha256"] for name, facts in version["artifacts"].items()
    }
    assert any(name.startswith("snapshots/") for name in bucket.names())
    for home in (here, there):
        assert SECRET not in (home / "service.log").read_text()
