"""One fresh process for one job: started, listened to, ended with everything it started."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO

import structlog

from app.domain.job import Job
from app.worker.parentage import child_environment
from app.worker.priority import give_way

RUN_JOB: tuple[str, ...] = (sys.executable, "-m", "app.worker.run_job")
"""What a job runs in; its id and fence follow as arguments."""

_LONGEST_LINE = 16_384


@contextlib.contextmanager
def job_process(job: Job, command: Sequence[str] = RUN_JOB) -> Iterator[JobProcess]:
    """Start ``command JOB_ID FENCE``; at the end of the block it and all that it started are gone.

    Never a fork: a process that has used TensorFlow hangs in its forks. In a session of its own, so
    that a terminal's Ctrl-C does not reach it and one signal ends the whole group.

    Raises:
        OSError: the machine has no process to give; try again later.
    """
    process = subprocess.Popen(  # noqa: S603  # our own interpreter, no shell, an id and a number
        [*command, job.job_id, str(job.fence)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=child_environment() | {"MORROW_LOG_FORMAT": "json"},
    )
    give_way(process.pid)
    child = JobProcess(process, job)
    try:
        yield child
    finally:
        child.end()


class JobProcess:
    """A running child; its words go to the log under the job's id, the last ones are kept."""

    def __init__(self, process: subprocess.Popen[bytes], job: Job) -> None:
        assert process.stdout is not None  # noqa: S101  # it was asked for: stdout=PIPE
        self._process = process
        self.last_lines: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=_relay, args=(process.stdout, job, self.last_lines), daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The process id, which is that of its group too."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs, else its exit code; the negative number of the signal that ended it."""
        return self._process.poll()

    def end(self) -> None:
        """Kill the whole group, wait for the child, hear its last words."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(timeout=2)


def _relay(stream: IO[bytes], job: Job, last_lines: deque[str]) -> None:
    with stream:
        for raw in iter(lambda: stream.readline(_LONGEST_LINE), b""):
            line = raw.decode(errors="replace").rstrip()
            if line:
                last_lines.append(line)
                _log(line, job)


def _log(line: str, job: Job) -> None:
    """Log a structured line as what it was; any other came from a library and is an ``info``."""
    try:
        fields = json.loads(line)
        event, level, name = fields.pop("event"), fields.pop("level"), fields.pop("logger")
    except (ValueError, KeyError, TypeError, AttributeError):
        event, level, name, fields = line, "info", __name__, {}
    if "exception" in fields:
        # The terminal's renderer takes ``exception`` for its own text.
        fields["child_exception"] = fields.pop("exception")
    number = logging.getLevelNamesMapping().get(str(level).upper(), logging.INFO)
    structlog.get_logger(name).log(number, event, **{**fields, "job_id": job.job_id, "ticker": job.ticker})
