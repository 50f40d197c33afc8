"""A job's child: refreshes and some trainings are real, the other trainings take a moment; each end is noted.

The journal is written by the job itself after its last transaction: who is in it twice ran to completion twice.
"""

from __future__ import annotations

import os
import sys

from app.jobs import retry
from app.worker import run_job
from app.worker.company import train_together
from app.worker.handlers import HANDLERS
from tests.chaos.entries.wall import follow_file
from tests.worker.toys.job import in_turn, publish

JOURNAL = "CHAOS_JOURNAL"
REAL_EPOCHS = 2  # an order for as many epochs is trained; the others are quick


def is_real(job):
    return job.payload.get("spec", {}).get("epochs") == REAL_EPOCHS


def note(job):
    descriptor = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{job.job_id} {job.fence}\n".encode())
    os.close(descriptor)


def train(job, *, services, report, complete):
    work = HANDLERS["train"] if is_real(job) else publish
    work(job, services=services, report=report, complete=complete)
    note(job)


def refresh(job, *, services, report, complete):
    HANDLERS["refresh"](job, services=services, report=report, complete=complete)
    note(job)


def together(tasks, *, services, failed):
    if not is_real(tasks[0].job):  # all are alike
        in_turn(tasks, services=services, failed=failed)
        return
    train_together(tasks, services=services, failed=failed)


if __name__ == "__main__":
    retry.FIRST_SECONDS = 0.02  # a job that is hit again and again would wait for minutes
    follow_file()
    sys.exit(run_job.main(sys.argv[1:], handlers={"train": train, "refresh": refresh}, together=together, needed=()))
