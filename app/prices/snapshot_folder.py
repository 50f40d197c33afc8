"""Snapshots in a folder: written beside, then renamed, so that whoever reads sees all of a file or nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from app.objects.disk import disk_errors, entries, sync_folder, touched
from app.prices.snapshots import UNFINISHED


class SnapshotFolder:
    """The files of ``folder``, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        """Return the file, ``None`` when there is none.

        Raises:
            StoreUnavailable: the disk refuses; try again later.
        """
        with disk_errors("The snapshot cannot be read"):
            try:
                return (self._folder / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def put(self, name: str, data: bytes) -> None:
        """Store the file as a whole, whatever is there.

        Raises:
            StoreUnavailable: the disk refuses; nothing was stored, try again later.
        """
        with disk_errors("The snapshot cannot be written"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._replace(name, data)
            sync_folder(self._folder)

    def remove(self, name: str) -> None:
        """Take the file away; nothing happens when there is none.

        Raises:
            StoreUnavailable: the disk refuses; try again later.
        """
        with disk_errors("The snapshot cannot be deleted"):
            (self._folder / name).unlink(missing_ok=True)

    def written(self) -> dict[str, float]:
        """Return the names of all files, unfinished ones too, and when each was written, in seconds.

        Raises:
            StoreUnavailable: the disk refuses; try again later.
        """
        with disk_errors("The snapshots cannot be listed"):
            return {path.name: touched(path) for path in entries(self._folder)}

    def _replace(self, name: str, data: bytes) -> None:
        handle, beside = tempfile.mkstemp(dir=self._folder, prefix=UNFINISHED)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(self._folder / name)
        except OSError:
            Path(beside).unlink(missing_ok=True)
            raise
