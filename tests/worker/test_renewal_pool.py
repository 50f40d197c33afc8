"""A refresh in several processes; real processes, real files."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.bootstrap import open_services
from app.errors import StoreUnavailable, WorkerLost
from app.forecasting.refresh import refresh_tickers
from app.forecasting.renewal import Due, renew_in_turn
from app.forecasting.services import Services
from app.registry import forecasts
from app.settings import Settings
from app.worker import renewal_pool
from app.worker.child import JobProcess
from app.worker.renewal_pool import renew_in_processes
from tests.api.rows import AS_OF, add_version, network_of
from tests.worker.support import claim, descendants, is_alive, job_of, processes, submit, wait_for

pytestmark = pytest.mark.slow

SHARED = Path("/dev/shm")
FEW = """
import sys
from app.forecasting.services import Services
from app.worker import renewal_pool, run_job
Services.cores = 2
renewal_pool.TICKERS_A_PROCESS, renewal_pool.TICKERS_AT_ONCE = 10, 1
sys.exit(run_job.main(sys.argv[1:]))
"""


@pytest.fixture
def opened(environment, tmp_path, monkeypatch):
    """Open the service of a folder, whose price files lie in it; the machine has two cores."""
    monkeypatch.setattr(Services, "cores", 2)
    monkeypatch.setattr(renewal_pool, "TICKERS_A_PROCESS", 3)
    monkeypatch.setattr(renewal_pool, "TICKERS_AT_ONCE", 1)
    databases = []

    def open_in(name):
        (tmp_path / name / "prices").mkdir(parents=True)
        services = open_services(Settings(home=tmp_path / name, files_dir=tmp_path / name / "prices"))
        databases.append(services.database)
        return services

    yield open_in
    for database in databases:
        database.close()


@pytest.fixture
def workers(born):
    """Ask for the pids of the pool's processes; beside them the library keeps one that tracks its locks."""
    return lambda: [pid for pid in born() if "resource_tracker" not in processes().get(pid, (0, "resource_tracker"))[1]]


def serve(services, count):
    """Serve ``count`` tickers, of each of which the bar has come that its champion forecast."""
    network = network_of()
    named = [add_version(services, f"T{number:02}", alias="champion", network=network) for number in range(count)]
    for number, version in enumerate(named):
        path = services.settings.files_dir / f"{version.ticker}.csv"
        path.write_text(prices(number))
    return [Due(ticker=one.ticker, versions=(one,), orders=(one.order,)) for one in named]


def prices(seed):
    lines = ["Date,Open,High,Low,Close,Volume"]
    for row, day in enumerate(np.busday_offset(np.datetime64(AS_OF), np.arange(-299, 2))):
        close = 100 + seed + (row * (seed + 3)) % 7
        lines.append(f"{day},{close},{close + 1},{close - 1},{close},1000")
    return "\n".join(lines) + "\n"


def refresh(services, renew_all, report=lambda *_: None):
    return refresh_tickers(None, services=services, report=report, renew_all=renew_all)


def stored(services, ticker):
    with services.database.read() as tx:
        return forecasts.latest(tx, ticker, 1)


def test_several_processes_publish_what_one_publishes(opened):
    one, many = opened("one"), opened("many")
    due = serve(one, 7)
    serve(many, 7)
    here, there = refresh(one, renew_in_turn), refresh(many, renew_in_processes)
    assert there == here
    assert (here["refreshed"], here["scored"]) == ([one.ticker for one in due], 7)
    for ticker in here["refreshed"]:
        assert stored(many, ticker).repeats(stored(one, ticker))


def test_outcomes_come_in_order_from_two_processes_that_are_gone_then(opened, workers):
    services = opened("home")
    due = serve(services, 7)
    beside = renew_in_processes(due, services=services)
    outcomes = [next(beside)]
    assert len(workers()) == 2
    outcomes += beside
    assert workers() == []
    assert [one.ticker for one in outcomes] == [one.ticker for one in due]


@pytest.mark.parametrize("reason", ["few", "remote", "no_room"])
def test_all_is_renewed_here_where_processes_do_not_pay_may_not_ask_or_cannot_be_had(
    opened, workers, monkeypatch, reason
):
    services = opened("home")
    due = serve(services, 5 if reason == "few" else 6)
    if reason == "remote":  # as the source of one of them says
        order = {**due[-1].orders[0], "data": {"source": "sample", "start": None}}
        due[-1] = replace(due[-1], orders=(order,))
    if reason == "no_room":

        def refuse(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(renewal_pool, "get_context", refuse)
    outcomes = []
    for outcome in renew_in_processes(due, services=services):
        outcomes.append(outcome)
        assert workers() == []
    assert [len(one.fresh) for one in outcomes[:5]] == [1] * 5


def test_a_process_that_dies_is_a_failure_that_may_pass_with_its_numbers(opened, workers):
    services = opened("home")
    beside = renew_in_processes(serve(services, 20), services=services)
    next(beside)
    with services.database.write():  # nobody comes to an end meanwhile
        for pid in workers():
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerLost) as lost:
        list(beside)
    assert (lost.value.facts["processes"], lost.value.facts["need"]) == (2, 20)
    assert 1 <= lost.value.facts["have"] < 20


def test_what_a_process_cannot_do_is_told_as_it_was_said_there(opened, tmp_path):
    services = opened("home")
    due = serve(services, 6)
    broken = replace(services, settings=Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path}/no/folder.db"))
    with pytest.raises(StoreUnavailable):
        list(renew_in_processes(due, services=broken))


def test_nobody_goes_on_for_a_job_that_is_lost(opened, workers):
    services = opened("home")
    serve(services, 6)

    def report(_, fraction):
        if fraction:
            raise WorkerLost("The lease is lost.")

    with pytest.raises(WorkerLost, match="lease"):
        refresh(services, renew_in_processes, report)
    assert workers() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others look for their parent once a second")
def test_nothing_is_left_of_them_when_their_job_is_killed(opened, monkeypatch):
    services = opened("home")
    serve(services, 20)
    monkeypatch.setenv("MORROW_HOME", str(services.settings.home))
    monkeypatch.setenv("MORROW_FILES_DIR", str(services.settings.files_dir))
    job_id = submit(services, kind="refresh", ticker=None, do=None)
    before = set(SHARED.glob("sem.mp-*"))
    child = JobProcess((sys.executable, "-c", FEW), [claim(services)])
    below = wait_for(lambda: len(descendants(child.pid)) >= 3 and descendants(child.pid))
    with services.database.write():  # nobody comes to an end meanwhile
        locks = set(SHARED.glob("sem.mp-*")) - before
        os.kill(child.pid, signal.SIGKILL)  # its group lives on: no worker is there to end it
        wait_for(lambda: not any(map(is_alive, below)))
    child.end()
    assert job_of(services, job_id).state == "running"
    assert len(locks) >= 3
    wait_for(lambda: not any(lock.exists() for lock in locks))
