"""The whole service under one command: the API and its workers as children, restarted when they die."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from app.settings import Settings
from app.worker.parentage import child_environment
from app.worker.stopping import stop_on_signals

_LOOK_SECONDS = 0.2
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 10.0
_SETTLED_SECONDS = 60.0
_DEATHS_AT_START = 3
_STOP_SECONDS = 25.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Role:
    """A child to keep running; without an ``essential`` one that never comes up all is given up."""

    name: str
    command: Sequence[str]
    essential: bool = False


def serve(settings: Settings) -> int:
    """Run the API and ``settings.workers`` workers until SIGTERM or SIGINT; return the exit code.

    0 after a stop that was asked for, all children gone within 30 s; 1 when the API's port is taken
    or the API does not come up. The children read the same environment as this process.
    """
    if refusal := _port_refusal(settings.host, settings.port):
        log.error("cannot listen", host=settings.host, port=settings.port, reason=refusal)
        return 1
    program = (sys.executable, "-m", "app")
    address = ("--host", settings.host, "--port", str(settings.port))
    workers = [Role(name=f"worker {n + 1}", command=(*program, "worker")) for n in range(settings.workers)]
    return supervise([Role(name="api", command=(*program, "api", *address), essential=True), *workers])


def supervise(roles: Sequence[Role]) -> int:
    """Keep one child a role alive until a signal says stop; return 0, or 1 when an essential one never came up."""
    stop = stop_on_signals()
    children = [_Child(role) for role in roles]
    try:
        while not stop.wait(_LOOK_SECONDS):
            for child in children:
                if not child.keep_alive():
                    log.error("gave up: it dies at every start, its own lines say why", child=child.role.name)
                    return 1
        return 0
    finally:
        _stop(children)


@dataclass
class _Child:
    """A role's present process and how often it died of late; times are monotonic seconds."""

    role: Role
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    has_settled: bool = False
    next_start: float = field(default_factory=time.monotonic)

    def keep_alive(self) -> bool:
        """Start, note a death, or start again when the wait is over; ``False``: this is hopeless."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.next_start:
                self._start(now)
        elif (code := self.process.poll()) is not None:
            return self._note_death(code, now)
        elif now - self.started >= _SETTLED_SECONDS:
            self.has_settled, self.deaths = True, 0
        return True

    def _start(self, now: float) -> None:
        # A session of its own: the terminal's Ctrl-C reaches this process alone, which stops the rest in order.
        self.process = subprocess.Popen(  # noqa: S603  # our own interpreter and subcommands, no shell
            self.role.command, stdin=subprocess.DEVNULL, start_new_session=True, env=child_environment()
        )
        self.started = now
        log.info("started", child=self.role.name, pid=self.process.pid)

    def _note_death(self, code: int, now: float) -> bool:
        self.process = None
        self.deaths += 1
        wait = min(_FIRST_WAIT_SECONDS * 2 ** (self.deaths - 1), _LONGEST_WAIT_SECONDS)
        self.next_start = now + wait
        log.warning("died", child=self.role.name, exit_code=code, restart_in_seconds=wait)
        # A signal is somebody's doing and says nothing about the next start.
        return not (self.role.essential and code > 0 and not self.has_settled and self.deaths >= _DEATHS_AT_START)


def _stop(children: Sequence[_Child]) -> None:
    """Ask all to stop, wait, kill the rest; their own children die with them."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("killed: did not stop in time", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    log.info("all stopped")


def _port_refusal(host: str, port: int) -> str | None:
    """Return why nobody can listen there, else ``None``; a restart loop would say it less clearly."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.create_server(address[:2], family=family):
            return None
    except OSError as error:
        return error.strerror or str(error)
