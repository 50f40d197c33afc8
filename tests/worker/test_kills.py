"""kill -9 at random moments of API, workers and job children, while jobs are handed in and run."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import threading
import time
import urllib.request
from collections import Counter
from contextlib import closing, suppress

import pytest
from sqlalchemy import select

from app.artifacts.base import MANIFEST
from app.db import tables
from app.jobs import queries
from app.registry import versions
from tests.bench.processes import free_port
from tests.worker.support import TOY_SERVICE, descendants, is_alive, started, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = int(os.environ.get("MORROW_KILLS", "6"))
SEED = int(os.environ.get("MORROW_KILLS_SEED", "7"))
JOBS = 20
TICKERS = ("^GSPC", "^IXIC")
# What a command line shows, and how often it is its turn.
TARGETS = {"toys.job": 5, "toys.worker": 3, "app api": 2}


def test_every_accepted_job_ends_exactly_once_whatever_is_killed(services, monkeypatch):
    monkeypatch.setenv("MORROW_MAX_ATTEMPTS", "10")
    port = free_port()
    roles = (
        f"api=app,api,--host,127.0.0.1,--port,{port}",
        "worker-1=tests.worker.toys.worker,w1",
        "worker-2=tests.worker.toys.worker,w2",
    )
    seen = Seen()
    with started(*TOY_SERVICE, *roles) as service:
        beside = [
            threading.Thread(target=submit_all, args=(port, seen)),
            threading.Thread(target=watch, args=(services, seen)),
        ]
        for thread in beside:
            thread.start()
        try:
            kill_at_random(service, services, port, seen)
            finish(services, seen)
        finally:
            seen.done.set()
            for thread in beside:
                thread.join()
        assert service.poll() is None
    check(services, seen)


class Seen:
    """What was seen from outside while it went on."""

    def __init__(self):
        self.done = threading.Event()
        self.accepted = {}
        self.killed = Counter()
        self.ends = {}
        self.wrong = []
        self.together = 0


def submit_all(port, seen):
    """Hand in the orders over the time of the kills, each until it is accepted.

    As a client does whose connection breaks: the same body under the same key.
    """
    for n in range(JOBS):
        body = {"ticker": TICKERS[n % 2], "spec": {"seed": n}, "data": {"source": "sample"}}
        while not seen.done.wait(0.1):
            is_early = n > 4 + seen.killed.total() * JOBS / max(KILLS, 1)
            with suppress(OSError):
                if not is_early:
                    seen.accepted[n] = post(port, body, key=f"order-{n}")["job_id"]
                    break


def post(port, body, *, key):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/train",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": key},
    )
    with closing(urllib.request.urlopen(request, timeout=5)) as answer:
        return json.load(answer)


def kill_at_random(service, services, port, seen):
    """Kill ``KILLS`` processes below the supervisor, each while it is at work."""
    dice = random.Random(SEED)
    for kind in dice.choices(list(TARGETS), list(TARGETS.values()), k=KILLS):
        while not kill_one(dice, lambda kind=kind: at_work(service, services, kind, port)):
            pass
        seen.killed[kind] += 1


def kill_one(dice, find):
    """Kill one of the processes found, a random moment later; ``False`` when it ended by itself before."""
    victim = dice.choice(wait_for(find, seconds=60))
    time.sleep(dice.uniform(0.0, 0.4))
    if not is_alive(victim):
        return False
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def at_work(service, services, kind, port):
    """Processes of the kind past their start: a child that reports, a worker with a child, an API that listens."""
    everything = descendants(service.pid)
    found = [pid for pid, command in everything.items() if kind in command]
    if kind == "app api":
        return found if listens(port) else []
    if kind == "toys.worker":
        return [pid for pid in found if descendants(pid)]
    reporting = {job.progress["pid"] for job in all_jobs(services) if job.state == "running" and job.progress}
    return [pid for pid in found if pid in reporting]


def listens(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def all_jobs(services):
    with services.database.read() as tx:
        return queries.list_jobs(tx, limit=1000)


def finish(services, seen):
    deadline = time.monotonic() + 120
    while len(seen.accepted) < JOBS or not all(job.is_over for job in all_jobs(services)):
        assert time.monotonic() < deadline, [(job.job_id, job.state, job.attempt) for job in all_jobs(services)]
        time.sleep(0.2)


def watch(services, seen):
    """Note every end that shows, and everything that must never show."""
    while not seen.done.wait(0.1):
        active, jobs = Counter(), all_jobs(services)
        claims = Counter(job.started_at for job in jobs if job.state == "running")
        seen.together = max(seen.together, *claims.values(), 0)
        for job in jobs:
            if job.is_over:
                end = (job.state, job.finished_at, job.fence, job.result)
                if seen.ends.setdefault(job.job_id, end) != end:
                    seen.wrong.append(f"{job.job_id} ended twice: {seen.ends[job.job_id]}, {end}")
            else:
                active[json.dumps(dict(job.payload), sort_keys=True)] += 1
        seen.wrong += [f"{count} active jobs of {key}" for key, count in active.items() if count > 1]


def check(services, seen):
    jobs = {job.job_id: job for job in all_jobs(services)}
    assert seen.wrong == []
    assert seen.killed.total() == KILLS
    assert sum(job.attempt for job in jobs.values()) > JOBS, "the kills hit work under way"
    assert seen.together > 1, "some jobs shared a process"
    assert set(seen.accepted.values()) == set(jobs), "one key stands for one job, and none came from nowhere"
    assert len(jobs) == JOBS
    failures = {job.error["code"] for job in jobs.values() if job.state == "failed"}
    assert failures <= {"worker_lost", "lease_expired"}
    assert {job.state for job in jobs.values()} <= {"succeeded", "failed"}
    registered = [version for ticker in TICKERS for version in versions_of(services, ticker)]
    succeeded = [job.job_id for job in jobs.values() if job.state == "succeeded"]
    assert sorted(version.job_id for version in registered) == sorted(succeeded)
    for version in registered:
        assert jobs[version.job_id].result == {"version": version.number}
        for name, facts in version.artifacts.items():
            assert len(services.artifacts.read(version.location, name, sha256=facts["sha256"])) == facts["bytes"]
        manifest = services.artifacts.path(version.location, MANIFEST).read_bytes()
        assert hashlib.sha256(manifest).hexdigest() == version.manifest_sha256


def versions_of(services, ticker):
    with services.database.read() as tx:
        numbers = tx.execute(select(tables.versions.c.number).where(tables.versions.c.ticker == ticker)).scalars()
        return [versions.get(tx, ticker, number) for number in sorted(numbers, reverse=True)]
