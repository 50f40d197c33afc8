"""How a process comes by an exchange's sessions."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np

from app.sessions.schedule import load_schedule


def fingerprint() -> str:
    """Say in one word what this process knows of New York's sessions in years that are over.

    How far ahead a calendar knows moves on every midnight, so two processes may differ there.
    """
    schedule = load_schedule("XNYS")
    assert schedule is not None
    over = slice(np.searchsorted(schedule.days, np.datetime64("2026-01-01")))
    parts = (schedule.days[over], schedule.opens[over], schedule.closes[over])
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest() + str(schedule.timezone)


def test_a_process_without_pandas_reads_the_same_schedule_and_stays_without() -> None:
    probe = (
        f"import sys; from {__name__} import fingerprint; assert 'pandas' not in sys.modules;"
        "print(fingerprint()); assert 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    import pandas  # noqa: F401 - with it there, the schedule is built in this process

    assert done.stdout.split() == [fingerprint()]
