"""Trainings that share a child: one fate of the process, an end of each job's own; real processes, real SQLite."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from app.domain.batch import shape_of
from app.domain.order import TrainingOrder
from app.errors import WorkerLost
from app.jobs import leases
from app.jobs.submission import submit as hand_in
from app.registry import versions
from app.worker.child import RUN_JOB
from app.worker.company import in_company
from app.worker.runner import run_in_child
from tests.worker.support import TOY_JOB, claim_alike, job_of, submit, wait_for

pytestmark = pytest.mark.slow

SPEC = {"units": [8]}


def submit_alike(services, **told):
    """Submit one training a keyword, the ticker, that says what it does: alike for the queue all the same."""
    ids = {}
    for ticker, do in told.items():
        ids[ticker] = submit(services, ticker=ticker, spec=SPEC, **(do if isinstance(do, dict) else {"do": do}))
        time.sleep(0.002)  # so that they are of different age
    return ids


def run(services, jobs, *, stop=None, command=TOY_JOB):
    endings = run_in_child(services, jobs, stop=stop or threading.Event(), command=command)
    return {job.ticker: ending for job, ending in zip(jobs, endings, strict=True)}


def run_beside(services, *, until, stop=None):
    """Run all in a thread until the job ``until`` has begun; return the thread and what the endings go to."""
    endings = {}
    jobs = claim_alike(services)
    thread = threading.Thread(target=lambda: endings.update(run(services, jobs, stop=stop)))
    thread.start()
    wait_for(lambda: job_of(services, until).progress)
    return thread, endings


def cancel(services, job_id):
    with services.database.write() as tx:
        leases.request_cancel(tx, job_id, now=services.clock())


def registered(services):
    with services.database.read() as tx:
        return sorted(location.split("/")[0] for location in versions.locations(tx))


def state(services, job_id):
    job = job_of(services, job_id)
    return job.state, job.attempt, (job.error or {}).get("code")


def test_jobs_that_share_a_process_end_one_by_one_each_with_its_own_version(services):
    ids = submit_alike(services, A="publish", B="publish", C="publish")
    jobs = claim_alike(services)
    assert [job.ticker for job in jobs] == ["A", "B", "C"]
    assert run(services, jobs) == {"A": "exited", "B": "exited", "C": "exited"}
    done = [job_of(services, job_id) for job_id in ids.values()]
    assert [(job.state, job.result) for job in done] == [("succeeded", {"version": 1})] * 3
    ends = [job.finished_at for job in done]
    assert ends == sorted(set(ends))


def test_a_failure_is_of_that_job_alone(services):
    ids = submit_alike(services, A="refuse", B="crash", C="starve", D="publish")
    run(services, claim_alike(services))
    assert [state(services, job_id) for job_id in ids.values()] == [
        ("failed", 1, "invalid_spec"),
        ("failed", 1, "job_crashed"),
        ("queued", 1, "worker_lost"),
        ("succeeded", 1, None),
    ]


@pytest.mark.parametrize("do", ["die", "leave"])
def test_what_a_dying_process_leaves_is_handed_back_and_runs_alone(services, do):
    ids = submit_alike(services, A="publish", B=do, C="publish")
    run(services, claim_alike(services))
    assert [state(services, job_id) for job_id in ids.values()] == [
        ("succeeded", 1, None),
        ("queued", 1, "worker_lost"),
        ("queued", 1, "worker_lost"),
    ]
    for ticker in "BC":
        with services.database.write() as tx:
            lease = {"owner": "tester", "lease_seconds": 30, "now": services.clock()}
            again = leases.claim(tx, **lease, only=ids[ticker])
        assert again.ticker == ticker and shape_of(again) is None
        run(services, [again])
    assert state(services, ids["B"]) == (("queued", 2, "worker_lost") if do == "die" else ("failed", 2, "job_crashed"))
    assert state(services, ids["C"]) == ("succeeded", 2, None)
    assert len(registered(services)) == 2


def test_a_cancelled_job_is_cancelled_at_once_while_the_others_go_on(services):
    ids = submit_alike(services, A={"seconds": 20}, B="publish", C={"seconds": 2})
    thread, endings = run_beside(services, until=ids["A"])
    cancel(services, ids["A"])
    cancel(services, ids["B"])
    wait_for(lambda: job_of(services, ids["A"]).is_over and job_of(services, ids["B"]).is_over)
    assert not job_of(services, ids["C"]).is_over
    thread.join(timeout=30)
    assert endings == {"A": "cancelled", "B": "cancelled", "C": "exited"}
    assert [job_of(services, job_id).state for job_id in ids.values()] == ["cancelled", "cancelled", "succeeded"]
    assert len(registered(services)) == 1


def test_jobs_that_use_up_the_time_of_one_together_each_run_alone(services):
    ids = submit_alike(services, A={"do": "idle", "timeout_seconds": 1}, B={"timeout_seconds": 1})
    assert run(services, claim_alike(services)) == {"A": "too_long", "B": "too_long"}
    assert [state(services, job_id) for job_id in ids.values()] == [("queued", 1, "worker_lost")] * 2
    assert [shape_of(job_of(services, job_id)) for job_id in ids.values()] == [None, None]


def test_a_stop_hands_all_back_and_counts_no_attempt(services):
    stop = threading.Event()
    ids = submit_alike(services, A="idle", B="publish")
    thread, endings = run_beside(services, until=ids["A"], stop=stop)
    stop.set()
    thread.join(timeout=20)
    assert endings == {"A": "stopped", "B": "stopped"}
    assert [state(services, job_id)[:2] for job_id in ids.values()] == [("queued", 0)] * 2


def test_whoever_lost_all_leases_writes_nothing(services):
    ids = submit_alike(services, A="idle", B="publish")
    thread, endings = run_beside(services, until=ids["A"])
    with services.database.write() as tx:
        later = services.clock() + timedelta(hours=1)
        assert sorted(leases.reap(tx, now=later)) == sorted(ids.values())
        others = [leases.claim(tx, owner="other", lease_seconds=60, now=later) for _ in ids]
    thread.join(timeout=20)
    assert set(endings.values()) == {"lost"}
    for other in others:
        job = job_of(services, other.job_id)
        assert (job.state, job.fence, job.attempt, job.error) == ("running", other.fence, 2, other.error)
    assert registered(services) == []


def test_a_lost_lease_ends_no_fit_that_others_share_and_the_job_right_after_it():
    told = []

    def lost(stage, fraction, **facts):
        told.append(stage)
        raise WorkerLost("lost")

    report = in_company(lost)
    report("fit", 0.0)
    report("fit", 0.5, epoch=1)
    with pytest.raises(WorkerLost):
        report("backtest", 0.0)
    assert told == ["fit", "fit", "backtest"]


@pytest.mark.tensorflow
def test_trainings_of_many_tickers_are_fitted_side_by_side_and_registered_each(services, monkeypatch):
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    monkeypatch.setenv("MORROW_TRAIN_THREADS", "1")
    ids = {}
    for ticker in ("^GSPC", "NONE", "^IXIC"):
        order = TrainingOrder.from_dict(
            {
                "ticker": ticker,
                "data": {"source": "sample", "start": "2016-01-01"},
                "evaluation": {"kind": "fixed", "test_fraction": 0.3},
                "spec": {"window": 5, "units": [2], "epochs": 2},
            }
        )
        with services.database.write() as tx:
            key = order.dedupe_key
            job, _ = hand_in(tx, kind="train", ticker=ticker, payload=order.to_dict(), dedupe=key, now=services.clock())
        ids[ticker] = job.job_id
    jobs = claim_alike(services)
    assert run(services, jobs, command=RUN_JOB) == dict.fromkeys(ids, "exited")
    assert {ticker: state(services, job_id) for ticker, job_id in ids.items()} == {
        "^GSPC": ("succeeded", 1, None),
        "NONE": ("failed", 1, "unknown_ticker"),
        "^IXIC": ("succeeded", 1, None),
    }
    with services.database.read() as tx:
        made = [versions.get(tx, ticker, 1) for ticker in ("^GSPC", "^IXIC")]
    assert [version.job_id for version in made] == [ids["^GSPC"], ids["^IXIC"]]
