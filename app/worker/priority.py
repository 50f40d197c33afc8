"""Work that can wait gives way to answers that cannot."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

NICENESS = 10
"""How much nicer a job is than its worker: on a core that the API wants all of, it keeps a tenth."""

SPARE_NICENESS = 19
"""What the session of a process weighs that nobody waits for yet."""

_TRIES = 5
_WAIT_SECONDS = 0.1


def give_way(pid: int) -> None:
    """Let the process ``pid``, just started in a session of its own, and all that it will start give way.

    Where the system refuses or knows no such thing, the work goes on as it is.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    weigh_session(pid, NICENESS)


def weigh_session(pid: int, niceness: int) -> None:
    """Let the session of the process ``pid`` weigh as little as ``niceness`` says, until it is told otherwise.

    Linux may weigh sessions first and the processes in each second: sched(7), "The autogroup feature".
    """
    for _ in range(_TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(niceness))
            return
        except BlockingIOError:  # it takes one such wish in a tenth of a second
            time.sleep(_WAIT_SECONDS)
        except OSError:
            return
