"""A job's child whose work takes a second at most; all around the work is the real thing.

The payload's ``do`` says what it does; a real order has none and is published. ``publish`` goes the
way of a training: report, publish the bundle, then version and success in one transaction.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from datetime import timedelta

from app.errors import InvalidSpec
from app.jobs import retry
from app.registry import tickers, versions
from app.worker import run_job
from tests.worker.support import published_version


def toy(job, *, services, report, complete):
    actions = {
        "publish": publish,
        "idle": idle,
        "refuse": refuse,
        "crash": crash,
        "leave": leave,
        "linger": linger,
        "starve": starve,
        "die_once": die_once,
        "die": die,
        "talk": talk,
        "load": load,
        "rest": rest,
    }
    actions[job.payload.get("do", "publish")](job, services=services, report=report, complete=complete)


def publish(job, *, services, report, complete):
    steps = 10
    for step in range(steps):
        report("backtest", fraction=step / steps, pid=os.getpid())
        time.sleep(job.payload.get("seconds", 0.3) / steps)
    with services.database.write() as tx:
        number = versions.reserve_number(tx, job.ticker)
    version = published_version(services, ticker=job.ticker, number=number, job_id=job.job_id)
    with services.database.write() as tx:
        versions.register(tx, version)
        tickers.set_next_update(tx, job.ticker, services.clock() + timedelta(days=1))
        complete(tx, {"version": number, **job.payload.get("told", {})})


def idle(job, *, services, report, complete):
    report("idle", fraction=0.0)
    time.sleep(120)


def rest(job, *, services, report, complete):
    time.sleep(job.payload["seconds"])
    with services.database.write() as tx:
        complete(tx, {})


def refuse(job, *, services, report, complete):
    raise InvalidSpec("The order contradicts itself.", have=1, need=2)


def crash(job, *, services, report, complete):
    raise RuntimeError("the secret inside")


def leave(job, *, services, report, complete):
    os._exit(3)


def linger(job, *, services, report, complete):
    """Fail, and take longer to leave than a heartbeat."""

    def leave_late():
        time.sleep(3.0)
        (services.settings.state_dir / "left").touch()

    atexit.register(leave_late)
    raise MemoryError


def starve(job, *, services, report, complete):
    raise MemoryError


def die(job, *, services, report, complete):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(job, *, services, report, complete):
    if job.attempt == 1:
        die(job, services=services, report=report, complete=complete)
    publish(job, services=services, report=report, complete=complete)


def talk(job, *, services, report, complete):
    sys.stdout.write("a library speaks\n")
    publish(job, services=services, report=report, complete=complete)


def load(job, *, services, report, complete):
    """Say what TensorFlow says when it is loaded, and what it says of a fault."""
    where = "0000 00:00:1795891242.429057   16171"
    sys.stdout.write("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
    sys.stdout.write(f"I{where} port.cc:153] oneDNN custom operations are on. You may see different results.\n")
    sys.stdout.write(f"E{where} port.cc:160] oneDNN cannot be used\n")
    publish(job, services=services, report=report, complete=complete)


def in_turn(tasks, *, services, failed):
    for task in tasks:
        try:
            toy(task.job, services=services, report=task.report, complete=task.complete)
        except Exception as error:
            failed(task.job, error)


if __name__ == "__main__":
    retry.FIRST_SECONDS = 0.05  # the tests have no half minute to wait between two attempts
    toys = {"train": toy, "refresh": toy}
    sys.exit(run_job.main(sys.argv[1:], handlers=toys, together=in_turn, needed=()))
