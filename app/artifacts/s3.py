"""Bundles on S3: the files first, the manifest last, and each only where nothing is, so that none is ever torn.

What lies there is named as in a folder: ``<key>/<file>``. A bundle without its manifest does not exist. Everybody
creates files in one order: of two who publish under one key, whoever creates the first file that both have goes on.
What a publishing that failed leaves behind is the sweep's: to remove it takes a server that answers.
"""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any

from app.artifacts.base import (
    KEY,
    MANIFEST,
    OWNER,
    checked_key,
    checked_name,
    knows_oldest,
    manifest_bytes,
    manifest_of,
    verified,
)
from app.errors import Conflict, CorruptArtifact, StoreUnavailable
from app.objects.s3 import S3Folder

_PROBES = ".probe"
_OURS = re.compile(rf"({KEY.pattern})/[^/]+|({re.escape(_PROBES)})/[^/]+")


class S3Artifacts:
    """The artifact store in a folder on S3, shared by all hosts that reach it."""

    def __init__(self, folder: S3Folder) -> None:
        self._folder = folder
        self._refuses_a_second = False

    def publish(self, key: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        """Store the files and then their manifest; return the manifest.

        Raises:
            Conflict: something is published under the key, or somebody is at it; take a new number.
            StoreUnavailable: S3 does not take it; the bundle is there as a whole or not at all.
        """
        checked_key(key)
        manifest = manifest_of({checked_name(name): data for name, data in files.items()})
        there = self._folder.exists(f"{key}/{MANIFEST}")
        for name, data in (*sorted(files.items()), (MANIFEST, manifest_bytes(manifest))):
            if there or not self._folder.create(f"{key}/{name}", data):
                raise Conflict(f"Something is published as {key} already.", key=key)
        return manifest

    def read(self, key: str, name: str, *, sha256: str) -> bytes:
        """Return the file if its bytes are those that the registry knows.

        Raises:
            CorruptArtifact: the file is gone or altered; do not serve it, restore it from a backup.
            StoreUnavailable: S3 does not give it; try again later.
        """
        data = self._folder.get(f"{checked_key(key)}/{checked_name(name)}")
        if data is None:
            raise CorruptArtifact(f"{name} of {key} is gone.", key=key, name=name)
        return verified(data, key, name, sha256=sha256)

    def delete(self, key: str) -> None:
        """Take the manifest away, and with it the bundle, then the files; nothing happens when there is none."""
        self._folder.remove(f"{checked_key(key)}/{MANIFEST}")
        for name in self._folder.written(f"{key}/"):
            self._folder.remove(name)

    def sweep(self, known: Set[str], *, older_than_seconds: float, now: datetime) -> list[str]:
        """Remove what publishing left behind and bundles whose key is not ``known``; return their names.

        Only where nothing was written for ``older_than_seconds``: a bundle is published before its row.
        """
        newest: dict[str, float] = defaultdict(float)
        for name, at in self._folder.written().items():
            if ours := _OURS.fullmatch(name):
                place = ours[1] or name
                newest[place] = max(newest[place], at)
        oldest = now.timestamp() - older_than_seconds
        swept = sorted(place for place, at in newest.items() if place not in known and at < oldest)
        for place in swept:
            self.delete(place) if KEY.fullmatch(place) else self._folder.remove(place)
        return swept

    def owner(self) -> str | None:
        """Return the registry that the store belongs to, ``None`` while it belongs to none.

        Raises:
            StoreUnavailable: S3 does not say; try again later.
        """
        mark = self._folder.get(OWNER)
        return None if mark is None else mark.decode()

    def take(self, registry: str, *, known: Set[str]) -> None:
        """Note that the store, which belongs to none, is the registry's whose bundles are ``known``.

        Nothing happens when something else is there from before them: then it is another's that has not said so yet.

        Raises:
            StoreUnavailable: S3 does not take it; try again later.
        """
        written = self._folder.written()
        end = f"/{MANIFEST}"
        bundles = {name.removesuffix(end): at for name, at in written.items() if name.endswith(end)}
        if knows_oldest({key: at for key, at in bundles.items() if KEY.fullmatch(key)}, known):
            self._folder.create(OWNER, registry.encode())

    def check_writable(self) -> None:
        """Write and remove a small object; the first time also see that S3 refuses to write it twice.

        Raises:
            StoreUnavailable: that failed; the detail says why.
        """
        name = f"{_PROBES}/{uuid.uuid4().hex}"
        self._folder.create(name, b"probe")
        try:
            if not self._refuses_a_second and self._folder.create(name, b"other"):
                detail = "This S3 server overwrites what it was told to create; it has to heed If-None-Match."
                raise StoreUnavailable(detail, reason="no_conditional_writes")
            self._refuses_a_second = True
        finally:
            self._folder.remove(name)
