"""Where bundles lie, seen from behind the store: what an accident, another program or time does to them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from app.artifacts.base import MANIFEST
from app.artifacts.local import STAGING, LocalArtifacts
from app.artifacts.s3 import S3Artifacts
from app.objects.s3 import Patience, S3Folder
from tests.support.s3_server import Bucket, S3Server

PREFIX = "models/all"


@dataclass(frozen=True)
class OnDisk:
    """A folder of bundles."""

    root: Path

    @property
    def store(self) -> LocalArtifacts:
        return LocalArtifacts(self.root)

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        (self.root / name).write_bytes(data)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def age(self, key: str, written: datetime) -> None:
        os.utime(self.root / key, (written.timestamp(), written.timestamp()))

    def leave_behind(self, mark: str, written: datetime) -> str:
        """Leave what a publishing that was killed leaves; return its name."""
        folder = self.root / STAGING / mark
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"half")
        self.age(f"{STAGING}/{mark}", written)
        return f"{STAGING}/{mark}"


@dataclass(frozen=True)
class OnS3:
    """A folder of bundles in a bucket."""

    server: S3Server
    bucket: Bucket

    @property
    def store(self) -> S3Artifacts:
        return S3Artifacts(self.folder())

    def folder(self, patience: Patience | None = None) -> S3Folder:
        folder = S3Folder(f"{self.bucket.url}/{PREFIX}", holds="model store", patience=patience)
        folder._s3 = _client(self.server.url, patience)
        return folder

    def names(self) -> list[str]:
        return [name.removeprefix(f"{PREFIX}/") for name in self.bucket.names()]

    def read(self, name: str) -> bytes:
        return self.bucket.read(f"{PREFIX}/{name}")

    def write(self, name: str, data: bytes) -> None:
        self.bucket.write(f"{PREFIX}/{name}", data)

    def remove(self, name: str) -> None:
        self.bucket.remove(f"{PREFIX}/{name}")

    def age(self, key: str, written: datetime) -> None:
        for name in self.names():
            if name.startswith(key):
                self.bucket.age(f"{PREFIX}/{name}", written)

    def leave_behind(self, mark: str, written: datetime) -> str:
        """Leave what a publishing that was killed leaves; return its name."""
        key = f"{mark.encode().hex():0>16}/1"
        self.write(f"{key}/model.onnx", b"half")
        self.age(key, written)
        return key


@cache
def _client(endpoint_url: str, patience: Patience | None) -> Any:
    """What speaks S3 for a folder: the same for all, as one takes long to make."""
    return S3Folder("s3://any", holds="", endpoint_url=endpoint_url, patience=patience)._s3


def is_whole(place: OnDisk | OnS3, key: str) -> bool:
    """Whether there is a bundle: its manifest is."""
    return f"{key}/{MANIFEST}" in place.names()
