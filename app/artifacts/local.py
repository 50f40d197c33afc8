"""Bundles in a folder: staged, synced and renamed into place, so that a crash never leaves a torn one.

Everything is on disk before its name is: files, their folder, then the rename, then the parent.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from app.artifacts.base import MANIFEST, manifest_bytes, manifest_of
from app.errors import Conflict, CorruptArtifact, NoSuchArtifact, StoreUnavailable

STAGING = ".staging"
_KEY = re.compile(r"[0-9a-f]{16}/[1-9][0-9]{0,8}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


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
        manifest = manifest_of({_checked(name): data for name, data in files.items()})
        with _disk_errors(f"publish {key}"):
            self._make_folder(target.parent)
            staged = self._stage({**files, MANIFEST: manifest_bytes(manifest)})
            try:
                _rename_once(staged, target, key)
            except BaseException:
                shutil.rmtree(staged, ignore_errors=True)
                raise
            _sync_folder(target.parent)
        return manifest

    def read(self, key: str, name: str, *, sha256: str) -> bytes:
        """Return the file if its bytes are those that the registry knows.

        Raises:
            CorruptArtifact: the file is gone or altered; do not serve it, restore it from a backup.
            StoreUnavailable: the disk refuses; try again later.
        """
        path = self.path(key, name)
        with _disk_errors(f"read {key}/{name}"):
            try:
                data = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                raise CorruptArtifact(f"{name} of {key} is gone.", key=key, name=name) from None
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            detail = f"{name} of {key} is not the file that was registered."
            raise CorruptArtifact(detail, key=key, name=name, have=found, need=sha256)
        return data

    def path(self, key: str, name: str) -> Path:
        """Return where the file lies; nothing is checked but the names.

        Raises:
            NoSuchArtifact: no bundle can have this key, or no file this name.
        """
        return self._folder(key) / _checked(name)

    def delete(self, key: str) -> None:
        """Take the bundle away as a whole; nothing happens when there is none."""
        folder = self._folder(key)
        with _disk_errors(f"delete {key}"):
            self._make_folder(self._staging)
            gone = self._staging / uuid.uuid4().hex
            try:
                folder.rename(gone)
            except FileNotFoundError:
                return
            _sync_folder(folder.parent)
            shutil.rmtree(gone)

    def sweep(self, known: Set[str], *, older_than_seconds: float, now: datetime) -> list[str]:
        """Remove what publishing left behind and bundles whose key is not ``known``; return their names.

        Only what nobody has touched for ``older_than_seconds``: a bundle is published before its row.
        """
        oldest = now.timestamp() - older_than_seconds
        with _disk_errors("sweep"):
            leftovers = [path for path in _entries(self._staging) if _touched(path) < oldest]
            for path in leftovers:  # another sweep may be at it: what stays now goes next time
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            unknown = [key for key in self._keys() if key not in known and _touched(self._root / key) < oldest]
        for key in unknown:
            self.delete(key)
        return [f"{STAGING}/{path.name}" for path in leftovers] + unknown

    def check_writable(self) -> None:
        """Write and remove a small file.

        Raises:
            StoreUnavailable: that failed; the detail says why.
        """
        with _disk_errors("write"):
            self._make_folder(self._staging)
            probe = self._staging / uuid.uuid4().hex
            try:
                _write(probe, b"probe")
            finally:
                probe.unlink(missing_ok=True)

    def _folder(self, key: str) -> Path:
        folder = self._root / key
        if not _KEY.fullmatch(key) or not folder.is_relative_to(self._root):
            raise NoSuchArtifact(f"{key!r} is no bundle's key.", key=key)
        return folder

    def _make_folder(self, folder: Path) -> None:
        """Make the folder so that it survives a power cut, if it is not there."""
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)

    def _stage(self, files: Mapping[str, bytes]) -> Path:
        """Write the files where nobody looks for them; return their folder."""
        self._make_folder(self._staging)
        staged = self._staging / uuid.uuid4().hex
        staged.mkdir()
        try:
            for name, data in files.items():
                _write(staged / name, data)
            _sync_folder(staged)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return staged

    def _keys(self) -> list[str]:
        """Every key that something is published under."""
        keys = (f"{folder.name}/{bundle.name}" for folder in _entries(self._root) for bundle in _entries(folder))
        return sorted(key for key in keys if _KEY.fullmatch(key))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise NoSuchArtifact(f"No file of a bundle is called {name!r}.", name=name)
    return name


@contextmanager
def _disk_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        detail = f"Cannot {doing} in the model store: {error.strerror or error}."
        raise StoreUnavailable(detail, reason=errno.errorcode.get(error.errno or 0)) from error


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


def _sync_folder(folder: Path) -> None:
    """Put the folder's entries on disk: a rename is durable only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another sweep was faster
        return float("inf")
