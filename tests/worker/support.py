"""Real services in a folder of the test, and a look at the machine's processes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import date

from app.artifacts.base import manifest_bytes
from app.domain.version import DataFacts, ModelVersion
from app.errors import StoreUnavailable
from app.jobs import leases, queries, submission

DAY = date(2024, 1, 2)
TOY_JOB = (sys.executable, "-m", "tests.worker.toys.job")
TOY_WORKER = (sys.executable, "-m", "tests.worker.toys.worker")
TOY_SERVICE = (sys.executable, "-m", "tests.worker.toys.service")


def submit(services, *, do="publish", ticker="TOY", kind="train", dedupe=None, **payload):
    """Submit a job for a toy; return its id."""
    payload = {"do": do, **payload}
    with services.database.write() as tx:
        job, _ = submission.submit(
            tx,
            kind=kind,
            ticker=ticker,
            payload=payload,
            dedupe=dedupe or f"{ticker}{sorted(payload.items())}",
            now=services.now(tx),
        )
    return job.job_id


def published_version(services, *, ticker, number, job_id=None):
    """Publish a small bundle; return the version that is to be registered for it."""
    key = f"{hashlib.sha256(ticker.encode()).hexdigest()[:16]}/{number}"
    manifest = services.artifacts.publish(key, {"model.onnx": os.urandom(50_000), "spec.json": b"{}"})
    return ModelVersion(
        ticker=ticker,
        number=number,
        created_at=services.clock(),
        order={"ticker": ticker},
        data=DataFacts(source="sample", snapshot_id="sha256:0", first_session=DAY, last_session=DAY, rows=1),
        scorecard={},
        location=key,
        artifacts=manifest["files"],
        manifest_sha256=hashlib.sha256(manifest_bytes(manifest)).hexdigest(),
        libraries={},
        seconds={},
        job_id=job_id,
        code_version="0",
    )


def claim(services, *, owner="tester"):
    with services.database.write() as tx:
        return leases.claim(tx, owner=owner, lease_seconds=services.settings.lease_seconds, now=services.now(tx))


def claim_alike(services):
    """Claim the next job and all that may share its process."""
    with services.database.write() as tx:
        lease = {"owner": "tester", "lease_seconds": services.settings.lease_seconds, "now": services.now(tx)}
        first = leases.claim(tx, **lease)
        return [first, *leases.claim_alike(tx, first, **lease, idle_workers=1)]


def job_of(services, job_id):
    with services.database.read() as tx:
        return queries.get(tx, job_id)


def wait_for(condition, *, seconds=30.0):
    """Wait until ``condition()`` is truthy and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"did not come about within {seconds} s")


def processes():
    """All living processes: ``{pid: (parent pid, command line)}``; zombies are dead."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = (line.split(None, 3) for line in listing.stdout.splitlines())
    return {int(row[0]): (int(row[1]), row[3]) for row in rows if len(row) == 4 and not row[2].startswith("Z")}


def descendants(pid):
    """The living processes below ``pid``: ``{pid: command line}``."""
    alive = processes()
    found, fresh = {}, {pid}
    while fresh:
        fresh = {child for child, (parent, _) in alive.items() if parent in fresh}
        found |= {child: alive[child][1] for child in fresh}
    return found


def children():
    """The pids of the processes that this process has started; one that begins may have no command line yet."""
    own = [(pid, command) for pid, (parent, command) in processes().items() if parent == os.getpid()]
    return {pid for pid, command in own if not command.startswith("ps ")}


def is_alive(pid):
    return pid in processes()


@contextmanager
def started(*command):
    """A process in a group of its own; at the end it and all below it are gone, whatever the test did."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    said = []
    listener = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
    listener.start()
    process.said = said
    try:
        yield process
    finally:
        below = list(descendants(process.pid))
        for pid in (process.pid, *below):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        listener.join(timeout=5)
        process.stderr.close()
        sys.stdout.writelines(said)  # for whoever has to read why a test fails


class FlakyDatabase:
    """The real database behind outages: the next ``outages`` transactions find it away."""

    def __init__(self, database, outages):
        self._database, self.outages = database, outages

    @contextmanager
    def write(self):
        if self.outages > 0:
            self.outages -= 1
            raise StoreUnavailable("away for a while")
        with self._database.write() as tx:
            yield tx

    def read(self):
        return self._database.read()

    def now(self, tx):
        return self._database.now(tx)
