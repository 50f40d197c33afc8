"""Bundles in a folder: staged, synced and renamed into place, so that a crash never leaves a torn one.

Everything is on disk before its name is: files, their folder, then the rename, then the parent.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Mapping, Set
from datetime import datetime
from pathlib import Path
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
from app.errors import Conflict, CorruptArtifact, NoSuchArtifact
from app.objects.disk import disk_errors, entries, sync_folder, touched

STAGING = ".staging"
# More than a bundle takes: one that found no room leaves as much free as it was, and a small file always fits there.
_ROOM_BYTES = 4 * 2**20


class LocalArtifacts:
    """The artifact store in the folder ``root``; one file system, shared by all processes of a host."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._staging = self._root / STAGING

    def publish(self, key: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        """Store the files and their manifest together or not at all; return the manifest.

        Raises:
            Conflict: something is published under the key; bundles never change, take a new number.
            StoreUnavailable: the disk refuses; the bundle is there as a whole or not at all.
        """
        target = self._folder(key)
        manifest = manifest_of({checked_name(name): data for name, data in files.items()})
        with disk_errors(f"Cannot publish {key} in the model store"):
            self._make_folder(target.parent)
            staged = self._stage({**files, MANIFEST: manifest_bytes(manifest)})
            try:
                _rename_once(staged, target, key)
            except BaseException:
                shutil.rmtree(staged, ignore_errors=True)
                raise
            sync_folder(target.parent)
        return manifest

    def read(self, key: str, name: str, *, sha256: str) -> bytes:
        """Return the file if its bytes are those that the registry knows.

        Raises:
            CorruptArtifact: the file is gone or altered; do not serve it, restore it from a backup.
            StoreUnavailable: the disk refuses; try again later.
        """
        path = self.path(key, name)
        with disk_errors(f"Cannot read {key}/{name} in the model store"):
            try:
                data = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                raise CorruptArtifact(f"{name} of {key} is gone.", key=key, name=name) from None
        return verified(data, key, name, sha256=sha256)

    def path(self, key: str, name: str) -> Path:
        """Return where the file lies; nothing is checked but the names.

        Raises:
            NoSuchArtifact: no bundle can have this key, or no file this name.
        """
        return self._folder(key) / checked_name(name)

    def delete(self, key: str) -> None:
        """Take the bundle away as a whole; nothing happens when there is none."""
        folder = self._folder(key)
        with disk_errors(f"Cannot delete {key} in the model store"):
            self._make_folder(self._staging)
            gone = self._staging / uuid.uuid4().hex
            try:
                folder.rename(gone)
            except FileNotFoundError:
                return
            sync_folder(folder.parent)
            shutil.rmtree(gone)

    def sweep(self, known: Set[str], *, older_than_seconds: float, now: datetime) -> list[str]:
        """Remove what publishing left behind and bundles whose key is not ``known``; return their names.

        Only what nobody has touched for ``older_than_seconds``: a bundle is published before its row.
        """
        oldest = now.timestamp() - older_than_seconds
        with disk_errors("Cannot sweep in the model store"):
            leftovers = [path for path in entries(self._staging) if touched(path) < oldest]
            for path in leftovers:  # another sweep may be at it: what stays now goes next time
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            unknown = [key for key in self._keys() if key not in known and touched(self._root / key) < oldest]
        for key in unknown:
            self.delete(key)
        return [f"{STAGING}/{path.name}" for path in leftovers] + unknown

    def owner(self) -> str | None:
        """Return the registry that the store belongs to, ``None`` while it belongs to none.

        Raises:
            StoreUnavailable: the disk refuses; try again later.
        """
        with disk_errors("Cannot read whose the model store is"):
            try:
                return (self._root / OWNER).read_text()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def take(self, registry: str, *, known: Set[str]) -> None:
        """Note that the store, which belongs to none, is the registry's whose bundles are ``known``.

        Nothing happens when something else is there from before them: then it is another's that has not said so yet.

        Raises:
            StoreUnavailable: the disk refuses; try again later.
        """
        with disk_errors("Cannot note whose the model store is"):
            if knows_oldest({key: touched(self._root / key) for key in self._keys()}, known):
                self._make_folder(self._staging)
                staged = self._staging / uuid.uuid4().hex
                _write(staged, registry.encode())
                staged.rename(self._root / OWNER)
                sync_folder(self._root)

    def check_writable(self) -> None:
        """Write and remove a small file, where a bundle has room too.

        Raises:
            StoreUnavailable: that failed; the detail says why.
        """
        with disk_errors("Cannot write in the model store"):
            self._make_folder(self._staging)
            if shutil.disk_usage(self._staging).free < _ROOM_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            probe = self._staging / uuid.uuid4().hex
            try:
                _write(probe, b"probe")
            finally:
                probe.unlink(missing_ok=True)

    def _folder(self, key: str) -> Path:
        folder = self._root / checked_key(key)
        if not folder.is_relative_to(self._root):
            raise NoSuchArtifact(f"{key!r} is no bundle's key.", key=key)
        return folder

    def _make_folder(self, folder: Path) -> None:
        """Make the folder so that it survives a power cut, if it is not there."""
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)

    def _stage(self, files: Mapping[str, bytes]) -> Path:
        """Write the files where nobody looks for them; return their folder."""
        self._make_folder(self._staging)
        staged = self._staging / uuid.uuid4().hex
        staged.mkdir()
        try:
            for name, data in files.items():
                _write(staged / name, data)
            sync_folder(staged)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return staged

    def _keys(self) -> list[str]:
        """Every key that something is published under."""
        keys = (f"{folder.name}/{bundle.name}" for folder in entries(self._root) for bundle in entries(folder))
        return sorted(key for key in keys if KEY.fullmatch(key))


def _rename_once(staged: Path, target: Path, key: str) -> None:
    """Give the staged folder its name; the file system refuses when a bundle has it."""
    try:
        staged.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise Conflict(f"Something is published as {key} already.", key=key) from None


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
