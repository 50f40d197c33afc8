"""A process that ends with its parent, however the parent ends: nothing is left behind by ``kill -9``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PARENT = "MORROW_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def child_environment() -> dict[str, str]:
    """Return this process's environment for a child that is to call ``follow_parent``."""
    return {**os.environ, _PARENT: str(os.getpid())}


def follow_parent() -> None:
    """End this process as soon as the one that started it does; nothing happens without such a parent.

    Call it first of all. The parent must start its children from a thread that lives as long as
    they do: Linux sends the signal when that thread ends.
    """
    expected = os.environ.pop(_PARENT, None)
    if expected is not None:
        follow(int(expected))


def follow(parent: int) -> None:
    """End this process as soon as its ``parent`` does; for children whose environment is not ours to choose.

    What ``follow_parent`` says of threads holds here too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # The parent may have died before the line above took hold.
    _leave_if_orphaned(parent)


def _watch(parent: int) -> None:
    while True:
        _leave_if_orphaned(parent)
        time.sleep(1)


def _leave_if_orphaned(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(0)
