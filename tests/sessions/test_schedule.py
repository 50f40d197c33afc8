"""How a process comes by an exchange's sessions."""

from __future__ import annotations

import hashlib
import subprocess
import sys

from app.sessions.schedule import load_schedule


def test_a_process_without_pandas_reads_the_same_schedule_and_stays_without() -> None:
    probe = (
        "import sys, hashlib; from app.sessions.schedule import load_schedule; s = load_schedule('XNYS');"
        "assert 'pandas' not in sys.modules;"
        "print(hashlib.sha256(s.days.tobytes() + s.opens.tobytes() + s.closes.tobytes()).hexdigest(), s.timezone)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    import pandas  # noqa: F401 - with it there, the schedule is built in this process

    built = load_schedule("XNYS")
    assert built is not None
    digest = hashlib.sha256(built.days.tobytes() + built.opens.tobytes() + built.closes.tobytes()).hexdigest()
    assert done.stdout.split() == [digest, "America/New_York"]
