"""kill -9 at random moments of supervisor, API, workers and job children, under jobs handed in without a break."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest
from sqlalchemy import select

from app.artifacts.base import MANIFEST
from app.bootstrap import open_services
from app.db import tables
from app.registry import chain, versions
from app.settings import Settings
from tests.chaos.entries.job import JOURNAL, REAL_EPOCHS
from tests.chaos.tables import tell
from tests.chaos.town import FIRST_DAY, next_weekday, plant, town, write_bars
from tests.chaos.watching import Watch, all_forecasts, all_jobs
from tests.worker.support import processes, wait_for

KILLS = int(os.environ.get("CHAOS_KILLS", "150"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
TICKERS = ("AAA", "BBB", "CCC")
WEIGHTS = {"job": 3, "worker": 3, "api": 2, "supervisor": 1}
MOST_ACTIVE = 6
REAL_EVERY = 12  # one training in so many is real
LEASE_SECONDS = 3
RECOVERY_SECONDS = LEASE_SECONDS + 10
MOST_ATTEMPTS = 10
QUICK = {"units": [2], "window": 5, "epochs": 1}

pytestmark = pytest.mark.timeout(420 + 8 * KILLS)


@pytest.fixture
def services(environment, tmp_path, monkeypatch):
    prices = tmp_path / "prices"
    prices.mkdir()
    for name, value in {
        "MORROW_SOURCE": "files",
        "MORROW_FILES_DIR": str(prices),
        "MORROW_LEASE_SECONDS": str(LEASE_SECONDS),
        "MORROW_MAX_ATTEMPTS": str(MOST_ATTEMPTS),
        JOURNAL: str(tmp_path / "journal"),
    }.items():
        monkeypatch.setenv(name, value)
    opened = open_services(Settings())
    plant(opened, monkeypatch, TICKERS)
    yield opened
    opened.database.close()


@pytest.mark.parametrize("seed", [SEED])  # part of the name, for whoever wants to see it again
def test_nothing_accepted_is_lost_or_done_twice_whatever_is_killed(services, tmp_path, seed):
    watch, client, killed = Watch(services), None, Counter()
    before = all_forecasts(services)
    with town(tmp_path / "service.log") as service:
        client = Client(service, services)
        watch.start()
        client.start()
        try:
            kill_at_random(service, watch, killed)
            client.close()
            drain(services)
        finally:
            client.close()
            watch.close()
    report(killed, client, watch, services)
    check_jobs(services, client, watch)
    check_recovery(services, watch)
    check_versions(services, tmp_path / "journal")
    check_forecasts(services, before, watch)


class Client(threading.Thread):
    """Hands in trainings and refreshes until it is closed; one whose connection breaks sends the same again."""

    def __init__(self, service, services):
        super().__init__(daemon=True)
        self._service, self._services = service, services
        self._over = threading.Event()
        self._dice = random.Random(SEED)
        self.accepted, self.wrong, self.statuses = {}, [], Counter()

    def close(self):
        self._over.set()
        self.join()

    def run(self):
        day, number = FIRST_DAY, 0
        while not self._over.wait(0.1):
            active = [row for row in all_jobs(self._services).values() if row.state in ("queued", "running")]
            if len(active) >= MOST_ACTIVE:
                continue
            number += 1
            if number % 3 == 0:
                day = next_weekday(day)
                for ticker in TICKERS:
                    write_bars(self._services, ticker, last=day)
                self._hand_in(f"refresh-{number}", "/v1/refresh", {})
            else:
                self._hand_in(f"train-{number}", "/v1/train", order(number))
            if self.accepted and self._dice.random() < 0.2:
                self._repeat()

    def _hand_in(self, key, path, body):
        while not self._over.is_set():
            with suppress(OSError):
                status, answer, _ = self._service.ask(path, body, key=key)
                self.statuses[status] += 1
                if status == 202:
                    self.accepted[key] = (path, body, answer["job_id"])
                    return
                if status != 503:
                    self.wrong.append(f"{status} {answer}")
                    return
            time.sleep(0.1)

    def _repeat(self):
        key = self._dice.choice(list(self.accepted))
        path, body, job_id = self.accepted[key]
        with suppress(OSError):
            status, answer, _ = self._service.ask(path, body, key=key)
            if status == 202 and answer["job_id"] != job_id:
                self.wrong.append(f"{key} stood for {job_id}, then for {answer['job_id']}")


def order(number):
    epochs = REAL_EPOCHS if number % REAL_EVERY == 1 else 1
    return {"ticker": TICKERS[number % 3], "spec": {**QUICK, "epochs": epochs, "seed": number}, "promote": "never"}


def kill_at_random(service, watch, killed):
    dice = random.Random(SEED)
    while killed.total() < KILLS:
        time.sleep(dice.uniform(0.2, 5.5))
        kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        found = service.pids(kind)
        if not found:
            continue
        victim = dice.choice(sorted(found))
        with suppress(ProcessLookupError):
            kill(service, watch, kind, victim)
            killed[kind] += 1
        if kind == "supervisor":
            service.supervisor.wait()
            service.restart()


def kill(service, watch, kind, victim):
    """Kill a process, and tell the watch what dies with it."""
    workers = {pid: line.rpartition(" ")[2] for pid, line in service.pids("worker").items()}
    parent = processes().get(victim, (None,))[0]
    dying = {"api": set(), "job": set(), "worker": {victim}, "supervisor": set(workers)}[kind]
    owners = [workers[pid] for pid in (dying or {parent}) & set(workers)]
    attempts = watch.running(owners)
    os.kill(victim, signal.SIGKILL)
    left = watch.running(owners)
    watch.hit |= attempts | left
    if dying:
        watch.note_deaths(kind, left, before=set(workers), after=set(workers) - dying)


def drain(services):
    """Wait until all is over; refreshes that the workers hand in by themselves go on for ever."""

    def is_over():
        return all(row.state not in ("queued", "running") for row in all_jobs(services).values())

    wait_for(is_over, seconds=240)


def report(killed, client, watch, services):
    jobs = all_jobs(services)
    states = Counter(row.state for row in jobs.values())
    tell(f"Kills (seed {SEED})", ("process", "killed"), [*killed.most_common(), ("all", killed.total())])
    rows = [
        *states.most_common(),
        ("handed in by the client", len(client.accepted)),
        ("attempts", sum(row.attempt for row in jobs.values())),
        ("attempts lost", lost_attempts(jobs)),
        ("attempts that a kill hit, at most", len(watch.hit)),
    ]
    tell("Jobs", ("state", "jobs"), rows)
    rows = []
    for kind in sorted({loss.kind for loss in watch.losses}):
        own = [loss for loss in watch.losses if loss.kind == kind]
        rows += [
            _spread(f"{kind}: taken from the dead", [one.taken - one.died_at for one in own]),
            _spread(f"{kind}: … of the last who could", [one.taken - one.since for one in own]),
            _spread(f"{kind}: runs again or is over", [one.resumed - one.died_at for one in own]),
        ]
    tell(f"Seconds from a death (lease {LEASE_SECONDS})", ("killed", "jobs", "median", "p95", "max"), rows)


def _spread(name, seconds):
    ordered = sorted(seconds)
    return name, len(ordered), ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100], ordered[-1]


def check_jobs(services, client, watch):
    jobs = all_jobs(services)
    assert watch.wrong == []
    assert client.wrong == []
    assert {job_id for _, _, job_id in client.accepted.values()} <= set(jobs)
    assert {row.state for row in jobs.values()} <= {"succeeded", "failed"}
    failed = [row for row in jobs.values() if row.state == "failed"]
    assert {row.error["code"] for row in failed} <= {"worker_lost", "lease_expired"}
    assert {row.attempt for row in failed} <= {MOST_ATTEMPTS}, "none failed before its attempts were used up"
    assert lost_attempts(jobs) <= len(watch.hit), "none is lost that no kill has hit"
    assert len(failed) <= len(watch.hit) // MOST_ATTEMPTS


def lost_attempts(jobs):
    return sum(row.attempt - (row.state == "succeeded") for row in jobs.values())


def check_recovery(services, watch):
    """Each job of a dead worker was taken from it in time, counted from that death, and none is left."""
    assert watch.pending == []
    late = [loss for loss in watch.losses if loss.taken - loss.since > RECOVERY_SECONDS]
    assert late == []


def check_versions(services, journal):
    noted = Counter(line.split()[0] for line in journal.read_text().splitlines())
    assert [job_id for job_id, times in noted.items() if times > 1] == [], "some ran to completion twice"
    jobs = all_jobs(services)
    assert {job_id for job_id in noted if jobs[job_id].state != "succeeded"} == set()
    with services.database.read() as tx:
        found = tx.execute(select(tables.versions.c.ticker, tables.versions.c.number)).all()
        registered = [versions.get(tx, ticker, number) for ticker, number in found]
    made = Counter(version.job_id for version in registered if version.job_id)
    trained = {job_id for job_id, row in jobs.items() if row.state == "succeeded" and row.dedupe.startswith("train ")}
    assert made == Counter(trained), "one version per training that succeeded"
    for version in registered:
        for name, facts in version.artifacts.items():
            assert len(services.artifacts.read(version.location, name, sha256=facts["sha256"])) == facts["bytes"]
        manifest = services.artifacts.path(version.location, MANIFEST).read_bytes()
        assert hashlib.sha256(manifest).hexdigest() == version.manifest_sha256


def check_forecasts(services, before, watch):
    now = all_forecasts(services)
    assert {forecast_id: now.get(forecast_id) for forecast_id in watch.issued} == watch.issued
    assert {forecast_id: now.get(forecast_id) for forecast_id in before} == before
    assert len(now) > len(before), "the refreshes issued forecasts"
    with services.database.read() as tx:
        verified = chain.verify(tx)
    assert verified.fault is None
    assert verified.count == len(now)
    tell("Forecasts", ("", "forecasts"), [("issued before the kills", len(before)), ("in the chain", verified.count)])
