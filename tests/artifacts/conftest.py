from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.artifacts.base import ArtifactStore
from app.artifacts.local import LocalArtifacts
from tests.artifacts.places import OnDisk, OnS3
from tests.support.s3_server import CREDENTIALS, S3Server, new_bucket, s3_server


@pytest.fixture(scope="session")
def front() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(front: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnS3]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    yield OnS3(front, new_bucket())
    front.recover()


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> OnDisk | OnS3:
    return OnDisk(tmp_path / "models") if request.param == "local" else request.getfixturevalue("s3")


@pytest.fixture
def store(place: OnDisk | OnS3) -> ArtifactStore:
    """What holds for every store of bundles is tested on each."""
    return place.store


@pytest.fixture
def local(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "models")
