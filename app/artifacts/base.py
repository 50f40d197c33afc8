"""Where bundles are kept: immutable folders of files, each pinned by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

MANIFEST = "manifest.json"


class ArtifactStore(Protocol):
    """A store of bundles by key, ``<ticker id>/<number>``."""

    def publish(self, key: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        """Store the files together or not at all; return their manifest.

        Raises:
            Conflict: something is published under the key; bundles never change, take a new number.
            StoreUnavailable: the disk refuses; nothing is visible, or all of it is.
        """

    def read(self, key: str, name: str, *, sha256: str) -> bytes:
        """Return the file.

        Raises:
            CorruptArtifact: it is gone, or not what the registry knows it as; do not serve it.
            StoreUnavailable: the disk refuses; try again later.
        """

    def path(self, key: str, name: str) -> Path:
        """Return where the file lies; nothing is checked but the names."""

    def delete(self, key: str) -> None:
        """Take the bundle away as a whole; nothing happens when there is none."""

    def sweep(self, known: Set[str], *, older_than_seconds: float, now: datetime) -> list[str]:
        """Remove what publishing left behind and bundles whose key is not ``known``; return their names."""

    def check_writable(self) -> None:
        """Write and remove a small file.

        Raises:
            StoreUnavailable: that failed; the detail says why.
        """


def manifest_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return ``{"files": {name: {"sha256", "bytes"}}}``."""
    facts = {n: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for n, data in files.items()}
    return {"files": dict(sorted(facts.items()))}


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest as it lies in the store."""
    return json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the hash that pins the manifest, and by it every file."""
    return hashlib.sha256(manifest_bytes(manifest)).hexdigest()
