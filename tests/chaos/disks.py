"""Small file systems to fill up."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress

import pytest


@contextmanager
def mounted(folder, *, megabytes, options=""):
    """Mount a small file system at ``folder`` for the length of the block; skips where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = f"size={megabytes}m{options}"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", kind, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Leave not a byte free; return what to remove."""
    filling = folder / "filling"
    with filling.open("ab", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            with suppress(OSError):
                while os.write(file.fileno(), bytes(size)):
                    pass
    return filling


def read_only(folder):
    """Make a mounted file system read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
