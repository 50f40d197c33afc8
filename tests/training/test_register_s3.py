"""The last step of a training while its store on S3 comes and goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from app.artifacts.base import MANIFEST
from app.artifacts.bundle import bundle_key
from app.artifacts.s3 import S3Artifacts
from app.errors import StoreUnavailable, WorkerLost
from app.forecasting.loaded_models import LoadedModels
from app.forecasting.services import Services
from app.objects.s3 import Patience, S3Folder
from app.registry import forecasts, versions
from tests.support.s3_server import CREDENTIALS, Bucket, S3Server, new_bucket, s3_server
from tests.training.test_train import candidate, clock, registered, services, source

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]
__all__ = ["candidate", "clock", "services", "source"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket() -> Bucket:
    return new_bucket()


@pytest.fixture
def on_s3(services: Services, server: S3Server, bucket: Bucket) -> Services:
    url, patience = f"{bucket.url}/models", Patience(tries=1)
    artifacts = S3Artifacts(S3Folder(url, holds="model store", endpoint_url=server.url, patience=patience))
    return replace(services, artifacts=artifacts, models=LoadedModels(artifacts))


def manifests(bucket: Bucket) -> list[str]:
    return [name for name in bucket.names() if name.endswith(MANIFEST)]


def test_a_manifest_that_s3_refuses_registers_nothing_and_the_next_attempt_takes_another_number(
    on_s3: Services, server: S3Server, bucket: Bucket, candidate: Any
) -> None:
    server.fail = lambda _number, method, path: "503" if method == "PUT" and path.endswith(MANIFEST) else None
    with pytest.raises(StoreUnavailable):
        registered(candidate, on_s3)
    with on_s3.database.read() as tx:
        assert versions.count(tx) == 0 and forecasts.latest(tx, "AAA", 1) is None
    assert bucket.names() and not manifests(bucket)
    server.fail = None
    version = registered(candidate, on_s3)
    assert (version.number, manifests(bucket)) == (2, [f"models/{version.location}/{MANIFEST}"])
    assert on_s3.models.get(version).spec.units == (2,)
    later = datetime.now(UTC) + timedelta(days=3)
    left = version.location.replace("/2", "/1")
    assert on_s3.artifacts.sweep({version.location}, older_than_seconds=60, now=later) == [left]


def test_a_registry_that_is_behind_its_store_passes_over_the_numbers_that_are_taken(
    on_s3: Services, bucket: Bucket, candidate: Any
) -> None:
    theirs = {"model.onnx": b"of a version that was registered after the backup"}
    for number in (1, 2):
        on_s3.artifacts.publish(bundle_key("AAA", number), theirs)
    version = registered(candidate, on_s3)
    assert (version.number, on_s3.models.get(version).spec.units) == (3, (2,))
    kept = [name for name in bucket.names() if name.endswith(("/1/model.onnx", "/2/model.onnx"))]
    assert [bucket.read(name) for name in kept] == [*theirs.values()] * 2


def test_a_lost_lease_is_told_even_when_s3_does_not_let_the_files_go(
    on_s3: Services, server: S3Server, candidate: Any
) -> None:
    def lost(tx: Connection, result: dict[str, Any]) -> None:
        server.fail = lambda number, method, path: "403"
        raise WorkerLost("lost")

    with pytest.raises(WorkerLost):
        registered(candidate, on_s3, lost)
    with on_s3.database.read() as tx:
        assert versions.count(tx) == 0
    server.fail = None
    later = datetime.now(UTC) + timedelta(days=3)
    assert len(on_s3.artifacts.sweep(set(), older_than_seconds=60, now=later)) == 1
