"""A search in its real process: killed in the middle, cancelled, stopped for its budget."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.domain.search import TuningOrder
from app.jobs import leases
from app.jobs.submission import submit
from app.worker import handlers
from app.worker.runner import run_in_child
from tests.worker.support import claim, descendants, job_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

SPEC = {"architecture": "lstm", "features": ["returns"], "window": 5, "units": [2], "epochs": 2, "batch_size": 512}
RATES = {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


@pytest.fixture(autouse=True)
def _one_thread(environment, monkeypatch):
    monkeypatch.setenv("MORROW_TRAIN_THREADS", "1")


def submit_search(services, **search):
    order = TuningOrder.from_dict(
        {
            "ticker": "^GSPC",
            "data": {"source": "sample", "start": "2015-01-01"},
            "evaluation": {"kind": "fixed", "test_fraction": 0.3},
            "spec": SPEC,
            "search": {"method": "random", "trials": 4, "space": RATES, **search},
        }
    )
    with services.database.write() as tx:
        job, _ = submit(
            tx, kind="tune", ticker="^GSPC", payload=order.to_dict(), dedupe=order.dedupe_key, now=services.clock()
        )
    return job.job_id


def start(services):
    """Run the next job in a child beside; return the thread and the list that its ending goes to."""
    job, endings = wait_for(lambda: claim(services)), []
    thread = threading.Thread(target=lambda: endings.extend(run_in_child(services, [job], stop=threading.Event())))
    thread.start()
    return thread, endings


def run_to_its_end(services, job_id):
    """Run it in one child after the other: a search of many trials is handed back now and then."""
    while (job := job_of(services, job_id)).state == "queued":
        thread, endings = start(services)
        thread.join(timeout=400)
        assert not thread.is_alive() and endings, job_of(services, job_id)
    return job


def kept(services, job_id):
    with services.database.read() as tx:
        return (leases.checkpoint_of(tx, job_id) or {}).get("trials", [])


def test_a_search_that_is_killed_goes_on_and_tries_nothing_twice(services):
    job_id = submit_search(services)
    thread, _ = start(services)
    wait_for(lambda: len(kept(services, job_id)) >= 2, seconds=300)
    (child,) = [pid for pid, command in descendants(os.getpid()).items() if job_id in command]
    os.kill(child, signal.SIGKILL)
    thread.join(timeout=60)
    before = kept(services, job_id)
    assert job_of(services, job_id).state == "queued"
    thread, endings = start(services)
    thread.join(timeout=400)
    job = job_of(services, job_id)
    assert (endings, job.state, job.attempt) == (["exited"], "succeeded", 2), job.error
    board = {trial["changes"]["optimizer"]["learning_rate"]: trial for trial in job.result["leaderboard"]}
    assert (len(board), job.result["trials"]) == (4, 4)
    for trial in before:
        after = board[trial["params"]["optimizer.learning_rate"]]
        assert (after["value"], after["seconds"]) == (trial["value"], trial["seconds"])
    assert job.result["seconds"] > sum(trial["seconds"] for trial in job.result["leaderboard"])


HAND_BACK = """
import sys
from app.bootstrap import open_services
from app.jobs import leases
from app.settings import Settings
services = open_services(Settings())
with services.database.write() as tx:
    assert leases.release(tx, sys.argv[1], int(sys.argv[2]), now=services.clock())
"""


def test_a_job_that_its_process_hands_back_is_claimed_again_at_once_and_has_not_failed(services):
    job_id = submit_search(services)
    command = (sys.executable, "-c", HAND_BACK)
    (ending,) = run_in_child(services, [claim(services)], stop=threading.Event(), command=command)
    assert ending in {"exited", "returned"}  # whether the process or its lease is missed first
    job = job_of(services, job_id)
    assert (job.state, job.attempt, job.error) == ("queued", 0, None)
    assert claim(services).job_id == job_id


def test_a_long_search_is_handed_back_with_its_checkpoint(services, monkeypatch):
    # Importing it at the top would load TensorFlow into a process that only watches others.
    from app.training import tuning

    monkeypatch.setattr(tuning, "TRIALS_A_PROCESS", 1)
    job_id = submit_search(services, trials=2)
    results = []
    for trials in (1, 2):
        handlers.tune(
            claim(services),
            services=services,
            report=lambda *told, **facts: None,
            complete=lambda tx, result: results.append(result),
        )
        assert len(kept(services, job_id)) == trials
    assert [result["trials"] for result in results] == [2]


def test_a_search_is_cancelled_while_it_runs(services):
    job_id = submit_search(services, trials=50)
    thread, endings = start(services)
    wait_for(lambda: (job_of(services, job_id).progress or {}).get("trial"), seconds=300)
    with services.database.write() as tx:
        leases.request_cancel(tx, job_id, now=services.clock())
    thread.join(timeout=60)
    job = job_of(services, job_id)
    assert (endings, job.state, job.result) == (["cancelled"], "cancelled", None)


def test_a_search_ends_with_its_budget_and_shows_what_it_has(services):
    for seconds in (10, 20, 40):  # on a busy machine the first trial alone takes longer than the shorter budgets
        job_id = submit_search(services, trials=500, budget_seconds=seconds)
        job = run_to_its_end(services, job_id)
        if job.state == "succeeded":
            break
        assert job.error["code"] == "time_limit_exceeded"
    assert job.state == "succeeded", job.error
    assert job.result["budget_used_up"] and 1 <= job.result["trials"] < 500
    assert job.progress == {"stage": "done", "fraction": 1.0}
