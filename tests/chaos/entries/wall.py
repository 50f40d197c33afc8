"""The wall clock of a process, set by a file: seconds to add. Its monotonic clock goes on as it was.

libfaketime would do the same from outside, but its sleep on the true monotonic clock fails.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from app import bootstrap

OFFSET = "CHAOS_CLOCK"


class Shifted(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(seconds=float(Path(os.environ[OFFSET]).read_text()))


def follow_file():
    """Let the services of this process read their clock by the file that ``OFFSET`` names, if it names one."""
    if OFFSET in os.environ:
        bootstrap.datetime = Shifted
