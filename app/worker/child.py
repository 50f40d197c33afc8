"""One fresh process for one job, or for a few that share it: started, listened to, ended with all it started."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import IO

import structlog

from app.domain.job import Job
from app.worker.parentage import child_environment
from app.worker.priority import give_way

RUN_JOB: tuple[str, ...] = (sys.executable, "-m", "app.worker.run_job")
"""What jobs run in; id and fence of each follow as arguments, or else on its standard input."""

_LONGEST_LINE = 16_384
# What TensorFlow says whenever it is loaded, before its log level counts.
_SAID_ALWAYS = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    r"|I\d{4} [\d:. ]+ port\.cc:\d+\] oneDNN custom operations are on\. .*"
)
_GRACE_LOOKS, _LOOK_SECONDS = 50, 0.01


class JobProcess:
    """A running child; its words go to the log under its job's id, the last ones are kept.

    Never a fork: a process that has used TensorFlow hangs in its forks. In a session of its own, so
    that a terminal's Ctrl-C does not reach it and one signal ends the whole group.
    """

    def __init__(self, command: Sequence[str], jobs: Sequence[Job] = ()) -> None:
        """Start it; without ``jobs`` it waits for them (``give``).

        Raises:
            OSError: the machine has no process to give; try again later.
        """
        self._jobs = tuple(jobs)
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter, no shell, ids and numbers
            [*command, *_claims(jobs)],
            stdin=subprocess.DEVNULL if jobs else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=child_environment() | {"MORROW_LOG_FORMAT": "json"},
        )
        give_way(self._process.pid)
        assert self._process.stdout is not None  # noqa: S101  # it was asked for: stdout=PIPE
        self.last_lines: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._relay, args=(self._process.stdout,), daemon=True)
        self._listener.start()

    def give(self, jobs: Sequence[Job]) -> None:
        """Give a waiting child its jobs.

        Raises:
            OSError: it has died; start another.
        """
        assert self._process.stdin is not None  # noqa: S101  # it was asked for: stdin=PIPE
        self._jobs = tuple(jobs)
        with self._process.stdin as told:
            told.write(" ".join(_claims(jobs)).encode())

    @property
    def pid(self) -> int:
        """The process id, which is that of its group too."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs, else its exit code; the negative number of the signal that ended it."""
        return self._process.poll()

    def end(self) -> None:
        """Kill the child and what it has started, wait for it, hear its last words."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._end_group()
        if self._process.stdin:
            self._process.stdin.close()
        self._listener.join(timeout=2)

    def _end_group(self) -> None:
        """Kill what is left; what follows the child goes by itself, and Python's tracker tidies up before it does."""
        with contextlib.suppress(ProcessLookupError):
            for _ in range(_GRACE_LOOKS):
                os.killpg(self._process.pid, 0)
                time.sleep(_LOOK_SECONDS)
            os.killpg(self._process.pid, signal.SIGKILL)

    def _relay(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in iter(lambda: stream.readline(_LONGEST_LINE), b""):
                line = raw.decode(errors="replace").rstrip()
                if line and not _SAID_ALWAYS.fullmatch(line):
                    self.last_lines.append(line)
                    _log(line, self._jobs)


def _claims(jobs: Sequence[Job]) -> list[str]:
    return [word for job in jobs for word in (job.job_id, str(job.fence))]


def _log(line: str, jobs: Sequence[Job]) -> None:
    """Log a structured line as what it was; any other came from a library and is an ``info``.

    A line without a job's id is of the only job; of several it may be anybody's.
    """
    try:
        fields = json.loads(line)
        event, level, name = fields.pop("event"), fields.pop("level"), fields.pop("logger")
    except (ValueError, KeyError, TypeError, AttributeError):
        event, level, name, fields = line, "info", __name__, {}
    if "exception" in fields:
        # The terminal's renderer takes ``exception`` for its own text.
        fields["child_exception"] = fields.pop("exception")
    number = logging.getLevelNamesMapping().get(str(level).upper(), logging.INFO)
    # A refresh is of many tickers, and names the one that a line is about.
    ticker = jobs[0].ticker or fields.get("ticker")
    owner = {"job_id": jobs[0].job_id, "ticker": ticker} if len(jobs) == 1 else {}
    structlog.get_logger(name).log(number, event, **{**fields, **owner})
