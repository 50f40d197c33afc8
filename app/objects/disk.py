"""Files on disk: what it takes for a name to outlive a power cut, what is there, what is said when a disk refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import StoreUnavailable


def sync_folder(folder: Path) -> None:
    """Put the folder's entries on disk: a rename is durable only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def entries(folder: Path) -> list[Path]:
    """Return what lies in the folder; nothing does when there is none."""
    return list(folder.iterdir()) if folder.is_dir() else []


def touched(path: Path) -> float:
    """Return when the file or folder was written last, in seconds; for one that has just gone, the end of time."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


@contextmanager
def disk_errors(what_fails: str) -> Iterator[None]:
    """Turn what the disk refuses within the block into an error that says ``what_fails``, and why.

    Raises:
        StoreUnavailable: it is full, read-only, broken or not ours; its ``reason`` is the system's name for that.
    """
    try:
        yield
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0)
        raise StoreUnavailable(f"{what_fails}: {error.strerror or error}.", reason=reason) from error
