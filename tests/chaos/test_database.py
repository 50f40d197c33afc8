"""A registry that is locked, and one that is none: reads go on, writes are put off, a start says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from sqlalchemy import func, select

from app.bootstrap import open_services
from app.db import tables
from app.settings import Settings
from tests.api.rows import add_version, network_of
from tests.bench.processes import free_port, running_api
from tests.chaos.disks import mounted, read_only
from tests.chaos.tables import tell
from tests.chaos.town import ask, patient
from tests.support.postgres_server import postgres_server
from tests.worker.support import TOY_WORKER, job_of, started, submit, wait_for

LOCKED_SECONDS = 20
CLIENTS = 8
LOCK = f"""
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep({LOCKED_SECONDS})
database.execute("ROLLBACK")
"""
ORDER = {"ticker": "^GSPC", "data": {"source": "sample"}}
SPEC = {"units": [2], "window": 5, "epochs": 1}


def test_a_database_locked_by_another_process_stops_no_forecast_and_loses_no_order(services, tmp_path):
    home = services.settings.state_dir
    add_version(services, "AAA", alias="champion", network=network_of())
    running = submit(services, seconds=2)
    statuses, reads, waits, accepted = Counter(), Counter(), [], {}

    def hand_in(number):
        def attempt():
            order = {**ORDER, "spec": {**SPEC, "seed": number}}
            status, answer, headers = ask(url, "/v1/train", order, key=f"key-{number}", timeout=60)
            statuses[status] += 1
            if status == 503:
                assert answer["code"] == "store_unavailable"
                time.sleep(float(headers["Retry-After"]))
            return answer["job_id"] if status == 202 else None

        accepted[number] = patient(attempt, seconds=120)

    with running_api("app", "api", home=home) as (client, _, _), started(*TOY_WORKER, "worker"):
        url = client.url
        wait_for(lambda: job_of(services, running).progress)
        locking = subprocess.Popen([sys.executable, "-c", LOCK, home / "morrow.db"], stdout=subprocess.PIPE)
        assert locking.stdout.readline() == b"locked\n"
        threads = [threading.Thread(target=hand_in, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while locking.poll() is None:
            begun = time.monotonic()
            for path in ("/v1/forecasts/AAA", "/v1/jobs", "/v1/models"):
                reads[ask(url, path)[0]] += 1
            waits.append((time.monotonic() - begun) / 3)
        for thread in threads:
            thread.join()
        locking.stdout.close()
        wait_for(lambda: job_of(services, running).is_over)
    assert set(reads) == {200}
    assert statuses[503] > 0
    assert set(statuses) == {202, 503}
    with services.database.read() as tx:
        trainings = (tables.jobs.c.kind == "train", tables.jobs.c.job_id != running)  # a refresh comes by itself
        known = set(tx.execute(select(tables.jobs.c.job_id).where(*trainings)).scalars())
        versions = tx.execute(select(func.count()).where(tables.versions.c.job_id == running)).scalar_one()
    assert known == set(accepted.values())
    assert len(known) == CLIENTS
    assert (job_of(services, running).state, versions) == ("succeeded", 1)
    rows = [("reads answered 200", reads[200]), ("longest mean of three reads, ms", max(waits) * 1e3)]
    rows += [(f"orders answered {status}", count) for status, count in sorted(statuses.items())]
    tell(f"Database locked for {LOCKED_SECONDS} s", ("", ""), rows)


@pytest.fixture
def postgres(environment, monkeypatch):
    """A server of the test's own with the registry."""
    with postgres_server() as server:
        monkeypatch.setenv("MORROW_DATABASE_URL", server.url)
        yield server


def test_a_postgresql_that_is_killed_and_started_again_costs_no_job_and_no_restart(postgres, services):
    add_version(services, "AAA", alias="champion", network=network_of())
    running = submit(services, seconds=3)
    order = {**ORDER, "spec": SPEC}
    with running_api("app", "api", home=services.settings.state_dir) as (client, _, _), started(*TOY_WORKER, "one"):
        wait_for(lambda: job_of(services, running).progress)
        assert ask(client.url, "/v1/forecasts/AAA")[0] == 200
        postgres.kill()
        status, problem, headers = ask(client.url, "/v1/train", order, timeout=60)
        assert (status, problem["code"]) == (503, "store_unavailable")
        assert int(headers["Retry-After"]) > 0
        assert ask(client.url, "/v1/forecasts/AAA")[0] == 200, "it is in memory"
        assert ask(client.url, "/readyz")[0] == 503
        postgres.start()
        accepted = patient(lambda: ask(client.url, "/v1/train", order)[1]["job_id"])
        jobs = (running, accepted)
        wait_for(lambda: all(job_of(services, job_id).is_over for job_id in jobs), seconds=60)
        assert ask(client.url, "/readyz")[0] == 200
    with services.database.read() as tx:
        made = Counter(tx.execute(select(tables.versions.c.job_id)).scalars())
    assert {job_of(services, job_id).state for job_id in jobs} == {"succeeded"}
    assert [made[job_id] for job_id in jobs] == [1, 1]


def garbage(home):
    (home / "morrow.db").write_bytes(b"no database at all, whatever it is called\n" * 500)


def cut_off(home):
    open_services(Settings(home=home)).database.close()
    data = (home / "morrow.db").read_bytes()
    (home / "morrow.db").write_bytes(data[:1000] + bytes(3000))


def folder_instead(home):
    (home / "morrow.db").mkdir()


@pytest.mark.parametrize("spoil", [garbage, cut_off, folder_instead])
@pytest.mark.parametrize("command", ["api", "worker", "serve"])
def test_a_start_on_what_is_no_database_ends_and_says_so(environment, tmp_path, spoil, command):
    home = tmp_path / "home"
    home.mkdir()
    spoil(home)
    ends_in_words(home, command)


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_start_without_a_folder_for_the_database_ends_and_says_so(environment, tmp_path, monkeypatch, command):
    monkeypatch.setenv("MORROW_DATABASE_URL", f"sqlite:///{tmp_path / 'missing' / 'morrow.db'}")
    ends_in_words(tmp_path / "home", command)


def test_a_start_on_a_read_only_disk_ends_and_says_so(environment, tmp_path):
    with mounted(tmp_path / "disk", megabytes=8) as disk:
        open_services(Settings(home=disk)).database.close()
        read_only(disk)
        ends_in_words(disk, "api")


def ends_in_words(home, command):
    options = ["--port", str(free_port())] if command != "worker" else []
    done = subprocess.run(
        [sys.executable, "-m", "app", command, *options],
        env={**os.environ, "MORROW_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert "database" in said.lower(), said
