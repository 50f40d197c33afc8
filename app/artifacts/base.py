"""Where bundles are kept: immutable folders of files, each pinned by its hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any, Protocol

from app.errors import CorruptArtifact, NoSuchArtifact

MANIFEST = "manifest.json"
OWNER = ".registry"
"""Where a store notes which registry it belongs to."""
KEY = re.compile(r"[0-9a-f]{16}/[1-9][0-9]{0,8}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class ArtifactStore(Protocol):
    """A store of bundles by key, ``<ticker id>/<number>``."""

    def publish(self, key: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        """Store the files together or not at all; return their manifest.

        Raises:
            Conflict: something is published under the key; bundles never change, take a new number.
            StoreUnavailable: disk or server refuse; nothing is visible, or all of it is.
        """

    def read(self, key: str, name: str, *, sha256: str) -> bytes:
        """Return the file.

        Raises:
            CorruptArtifact: it is gone, or not what the registry knows it as; do not serve it.
            StoreUnavailable: disk or server refuse; try again later.
        """

    def delete(self, key: str) -> None:
        """Take the bundle away as a whole; nothing happens when there is none."""

    def sweep(self, known: Set[str], *, older_than_seconds: float, now: datetime) -> list[str]:
        """Remove what publishing left behind and bundles whose key is not ``known``; return their names."""

    def owner(self) -> str | None:
        """Return the registry that the store belongs to, ``None`` while it belongs to none.

        Raises:
            StoreUnavailable: disk or server refuse; try again later.
        """

    def take(self, registry: str, *, known: Set[str]) -> None:
        """Note that the store, which belongs to none, is the registry's whose bundles are ``known``.

        Nothing happens when something else is there from before them: then it is another's that has not said so yet.

        Raises:
            StoreUnavailable: disk or server refuse; try again later.
        """

    def check_writable(self) -> None:
        """Write and remove a small file, where a bundle has room too if anybody can tell.

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


def knows_oldest(written: Mapping[str, float], known: Set[str]) -> bool:
    """Return whether no bundle was written before the first that is ``known``, and there is such a one."""
    ours = [at for key, at in written.items() if key in known]
    return bool(ours) and min(ours) == min(written.values())


def checked_key(key: str) -> str:
    """Return the key, if a bundle can have it.

    Raises:
        NoSuchArtifact: none can.
    """
    if not KEY.fullmatch(key):
        raise NoSuchArtifact(f"{key!r} is no bundle's key.", key=key)
    return key


def checked_name(name: str) -> str:
    """Return the name, if a file of a bundle can have it.

    Raises:
        NoSuchArtifact: none can.
    """
    if not _NAME.fullmatch(name):
        raise NoSuchArtifact(f"No file of a bundle is called {name!r}.", name=name)
    return name


def verified(data: bytes, key: str, name: str, *, sha256: str) -> bytes:
    """Return the file's bytes, if they are those that the registry knows.

    Raises:
        CorruptArtifact: they are not; do not serve them.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        detail = f"{name} of {key} is not the file that was registered."
        raise CorruptArtifact(detail, key=key, name=name, have=found, need=sha256)
    return data
