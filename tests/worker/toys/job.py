"""A job's child whose work takes a second at most; all around the work is the real thing.

The payload's ``do`` says what it does; a real order has none and is published. ``publish`` goes the
way of a training: report, publish the bundle, then version and success in one transaction.
"""

from __future__ import annotations

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

retry.FIRST_SECONDS = 0.05  # the tests have no half minute to wait between two attempts


def toy(job, *, services, report, complete):
    actions = {
        "publish": publish,
        "idle": idle,
        "refuse": refuse,
        "crash": crash,
        "leave": leave,
        "starve": starve,
        "die_once": die_once,
        "die": die,
        "talk": talk,
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
        complete(tx, {"version": number})


def idle(job, *, services, report, complete):
    report("idle", fraction=0.0)
    time.sleep(120)


def refuse(job, *, services, report, complete):
    raise InvalidSpec("The order contradicts itself.", have=1, need=2)


def crash(job, *, services, report, complete):
    raise RuntimeError("the secret inside")


def leave(job, *, services, report, complete):
    os._exit(3)


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


def in_turn(tasks, *, services, failed):
    for task in tasks:
        try:
            toy(task.job, services=services, report=task.report, complete=task.complete)
        except Exception as error:
            failed(task.job, error)


if __name__ == "__main__":
    toys = {"train": toy, "refresh": toy}
    sys.exit(run_job.main(sys.argv[1:], handlers=toys, together=in_turn, needed=()))
