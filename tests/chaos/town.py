"""A whole service in a folder of the test: registry, prices that grow by a bar, processes that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta

from tests.api import rows
from tests.bench.processes import free_port
from tests.worker.support import descendants, processes

FIRST_DAY = date(2025, 1, 3)
BARS = 1600
# What a command line shows of each kind of process.
KINDS = {"job": "entries.job", "worker": "entries.worker", "api": "app api"}
_SUPERVISOR = (sys.executable, "-m", "tests.worker.toys.service")


def plant(services, monkeypatch, tickers):
    """Register a champion with a forecast for each ticker, whose bars end on ``FIRST_DAY``."""
    monkeypatch.setattr(rows, "AS_OF", FIRST_DAY)
    network = rows.network_of()
    for ticker in tickers:
        write_bars(services, ticker, last=FIRST_DAY)
        rows.add_version(services, ticker, alias="champion", network=network)


def write_bars(services, ticker, *, last):
    """Replace the file of a ticker by one whose bars end on ``last``."""
    folder = services.settings.files_dir
    fresh = folder / f"{ticker}.fresh"
    fresh.write_text(rows.csv_of(BARS + (last - FIRST_DAY).days * 5 // 7, last=last))
    fresh.rename(folder / f"{ticker}.csv")


def next_weekday(day):
    later = day + timedelta(days=1)
    while later.weekday() > 4:
        later += timedelta(days=1)
    return min(later, datetime.now(UTC).date() - timedelta(days=2))


class Town:
    """The supervisor with an API and two workers; ``ask`` talks to it as a client does."""

    def __init__(self, *, workers=2):
        self.port = free_port()
        self._roles = [
            f"api=app,api,--host,127.0.0.1,--port,{self.port}",
            *(f"worker-{n}=tests.chaos.entries.worker,w{n}" for n in range(1, workers + 1)),
        ]
        self._log = None
        self.supervisor = None

    def start(self, log):
        self._log = log.open("a")
        self.restart()

    def restart(self):
        command = (*_SUPERVISOR, *self._roles)
        self.supervisor = subprocess.Popen(command, stderr=self._log, stdout=self._log, start_new_session=True)

    def end(self):
        self.supervisor.terminate()
        try:
            return self.supervisor.wait(40)
        finally:
            for pid in (*descendants(self.supervisor.pid), self.supervisor.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.supervisor.wait()
            self._log.close()

    def pids(self, kind):
        """The living processes of a kind: ``{pid: command line}``."""
        if kind == "supervisor":
            return {self.supervisor.pid: ""} if self.supervisor.pid in processes() else {}
        return {pid: line for pid, line in descendants(self.supervisor.pid).items() if KINDS[kind] in line}

    def ask(self, path, body=None, *, key=None, timeout=10):
        return ask(f"http://127.0.0.1:{self.port}", path, body, key=key, timeout=timeout)


@contextmanager
def town(log, **options):
    """Run a service for the length of the block; at the end nothing of it is left."""
    made = Town(**options)
    made.start(log)
    try:
        yield made
    finally:
        made.end()


def ask(base, path, body=None, *, key=None, timeout=10, method=None, **more):
    """Return status, JSON and headers of an answer, an error's too.

    Raises:
        OSError: there was none.
    """
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/csv" if isinstance(body, bytes) else "application/json"
    headers = {"Content-Type": kind} | ({"Idempotency-Key": key} if key else {}) | more
    request = urllib.request.Request(base + path, data, headers, method=method or ("POST" if data else "GET"))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, _json(answer), answer.headers
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, _json(refusal), refusal.headers


def _json(answer):
    text = answer.read()
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")


def patient(attempt, *, seconds=60):
    """Call ``attempt`` until it raises no ``OSError`` and returns something; return that."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError, ValueError):
            if found := attempt():
                return found
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come about within {seconds} s")
        time.sleep(0.1)
