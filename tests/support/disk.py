"""A disk that fails at the n-th step of all that is done to it: making, opening, writing, syncing, renaming."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

_STEPS = ("mkdir", "open", "fsync", "rename", "replace")
Fault = Callable[[], None]


def refuse(code: int) -> Fault:
    """Return a fault that is an error of the disk."""

    def fault() -> None:
        raise OSError(code, os.strerror(code))

    return fault


def die() -> None:
    """End this process as a power cut would, but for what the system has of it already."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def failing_disk(number: int, fault: Fault, *, also: Sequence[tuple[Any, str]] = ()) -> Iterator[list[str]]:
    """Let ``fault`` happen in place of the ``number``-th step of the block, half-way when it writes; give all steps.

    ``also`` are functions, by what they belong to and their name, of which each call is a step too.
    """
    steps: list[str] = []

    def counted(name: str, does: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            steps.append(name)
            if len(steps) == number:
                fault()
            return does(*args, **options)

        return step

    class File(io.FileIO):
        def write(self, data: Any) -> int:
            steps.append("write")
            if len(steps) == number:
                super().write(bytes(data)[: len(data) // 2])
                fault()
            return super().write(data)

    really = io.open

    def opened(path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        ours = mode in ("wb", "xb")
        return io.BufferedWriter(File(path, mode[0])) if ours else really(path, mode, *args, **options)

    named = [(os, name) for name in _STEPS] + list(also)
    patches = [patch.object(owner, name, counted(name, getattr(owner, name))) for owner, name in named]
    with _patched([*patches, patch.object(io, "open", counted("open", opened))]):
        yield steps


@contextmanager
def _patched(patches: list[Any]) -> Iterator[None]:
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
