"""A refresh in several processes; real processes, real files."""

from __future__ import annotations

import os
import signal
import sys
from datetime import date, timedelta

import pytest

from app.bootstrap import open_services
from app.errors import WorkerLost
from app.forecasting.renewal import Due, renew_in_turn
from app.settings import Settings
from app.worker import renewal_pool
from app.worker.child import JobProcess
from app.worker.renewal_pool import renew_beside
from tests.api.rows import add_version, network_of
from tests.worker.support import claim, descendants, is_alive, job_of, submit, wait_for

pytestmark = pytest.mark.slow

FEW = """
import sys
from app.worker import renewal_pool, run_job
renewal_pool.TICKERS_A_PROCESS, renewal_pool._AT_ONCE = 10, 1
sys.exit(run_job.main(sys.argv[1:]))
"""


@pytest.fixture
def services(environment, tmp_path, monkeypatch):
    """Price files are read from a folder; the machine has two cores."""
    (tmp_path / "prices").mkdir()
    monkeypatch.setenv("MORROW_FILES_DIR", str(tmp_path / "prices"))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    opened = open_services(Settings())
    yield opened
    opened.database.close()


def serve(services, count):
    """Serve ``count`` tickers of 1 500 bars; return what is due of each."""
    network = network_of()
    named = [add_version(services, f"T{number:02}", alias="champion", network=network) for number in range(count)]
    for number, version in enumerate(named):
        price_file(services, version.ticker).write_text(prices(number))
    return [Due(ticker=one.ticker, versions=(one,), orders=(one.order,)) for one in named]


def price_file(services, ticker):
    return services.settings.files_dir / f"{ticker}.csv"


def prices(seed):
    lines = ["Date,Open,High,Low,Close,Volume"]
    for row in range(1500):
        close = 100 + seed + (row * (seed + 3)) % 7
        lines.append(f"{date(2021, 1, 1) + timedelta(days=row)},{close},{close + 1},{close - 1},{close},1000")
    return "\n".join(lines) + "\n"


def test_several_processes_say_what_one_says_in_the_same_order(services, born, monkeypatch):
    monkeypatch.setattr(renewal_pool, "TICKERS_A_PROCESS", 3)
    due = serve(services, 7)
    beside = renew_beside(due, services=services)
    first = next(beside)
    assert len(born()) >= 2
    outcomes = [first, *beside]
    assert born() == [] or len(born()) == 1  # one of the library's own may go on: it tracks what has to be removed
    here = list(renew_in_turn(due, services=services))
    assert [one.ticker for one in outcomes] == [one.ticker for one in due]
    for there, one in zip(outcomes, here, strict=True):
        assert (there.problems, there.settled, there.asked) == (one.problems, one.settled, one.asked)
        assert there.fresh[0].forecast.repeats(one.fresh[0].forecast)
        assert there.fresh[0].drift == one.fresh[0].drift


def test_a_few_tickers_are_renewed_here(services, born):
    due = serve(services, 3)
    for outcome in renew_beside(due, services=services):
        assert (len(outcome.fresh), born()) == (1, [])


def test_a_process_that_dies_is_a_failure_that_may_pass(services, born, monkeypatch):
    monkeypatch.setattr(renewal_pool, "TICKERS_A_PROCESS", 10)
    monkeypatch.setattr(renewal_pool, "_AT_ONCE", 1)
    beside = renew_beside(serve(services, 20), services=services)
    next(beside)
    for pid in born():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerLost):
        list(beside)


def test_nothing_is_left_of_them_when_their_job_is_killed(services, born):
    serve(services, 20)
    job_id = submit(services, kind="refresh", ticker=None, do=None)
    child = JobProcess((sys.executable, "-c", FEW), [claim(services)])
    wait_for(lambda: (job_of(services, job_id).progress or {}).get("fraction"))
    below = descendants(child.pid)
    os.kill(child.pid, signal.SIGKILL)  # its group lives on: no worker is there to end it
    assert len(below) >= 2
    wait_for(lambda: not any(map(is_alive, below)))
    child.end()
    assert job_of(services, job_id).state == "running"
