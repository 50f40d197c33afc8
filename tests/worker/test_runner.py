"""A job in its child, seen from the runner; real processes, real SQLite."""

from __future__ import annotations

import io
import json
import subprocess
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog
from structlog.testing import capture_logs

from app.jobs import leases
from app.observability.logs import configure_logging
from app.registry import versions
from app.worker.child import RUN_JOB
from app.worker.runner import run_in_child
from tests.worker.support import TOY_JOB, FlakyDatabase, claim, is_alive, job_of, submit, wait_for

pytestmark = pytest.mark.slow


def run(services, job, *, stop=None, command=TOY_JOB):
    (ending,) = run_in_child(services, [job], stop=stop or threading.Event(), command=command)
    return ending


def run_beside(services, job, *, stop=None):
    """Run the job in a thread; return the thread and the list that its ending goes to."""
    endings = []
    thread = threading.Thread(target=lambda: endings.append(run(services, job, stop=stop)))
    thread.start()
    wait_for(lambda: job_of(services, job.job_id).progress)
    return thread, endings


def test_a_job_ends_with_its_version_and_its_result_in_one(services):
    job_id = submit(services)
    assert run(services, claim(services)) == "exited"
    job = job_of(services, job_id)
    assert (job.state, job.result) == ("succeeded", {"version": 1})
    assert job.progress["stage"] == "done"
    with services.database.read() as tx:
        assert versions.get(tx, "TOY", 1).job_id == job_id


def test_a_refusal_fails_the_job_at_once_with_its_numbers(services):
    job_id = submit(services, do="refuse")
    run(services, claim(services))
    job = job_of(services, job_id)
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error["code"] == "invalid_spec"
    assert (job.error["have"], job.error["need"]) == (1, 2)


def test_an_unexpected_exception_is_told_without_its_words(services):
    job_id = submit(services, do="crash")
    run(services, claim(services))
    job = job_of(services, job_id)
    assert (job.state, job.error["code"]) == ("failed", "job_crashed")
    assert "RuntimeError" in job.error["detail"]
    assert "secret" not in str(job.error)
    assert "Traceback" not in str(job.error)


def test_a_killed_child_is_tried_again_and_ends_once(services):
    job_id = submit(services, do="die_once")
    assert run(services, claim(services)) == "exited"
    queued = job_of(services, job_id)
    assert (queued.state, queued.error["code"], queued.error["signal"]) == ("queued", "worker_lost", 9)
    run(services, wait_for(lambda: claim(services)))
    job = job_of(services, job_id)
    assert (job.state, job.attempt, job.result) == ("succeeded", 2, {"version": 1})


def test_a_child_killed_at_every_attempt_fails_in_the_end(services):
    job_id = submit(services, do="die")
    with capture_logs() as lines:
        for _ in range(3):
            run(services, wait_for(lambda: claim(services)))
    job = job_of(services, job_id)
    assert (job.state, job.attempt, job.error["code"]) == ("failed", 3, "worker_lost")
    told = [(line["log_level"], line["event"]) for line in lines if line.get("code") == "worker_lost"]
    again, end = ("warning", "job will be tried again"), ("info", "job ended")
    assert told == [again, again, ("error", "job failed"), end], "only the last failure is an error"


def test_a_child_that_leaves_without_a_word_has_crashed(services):
    job_id = submit(services, do="leave")
    run(services, claim(services))
    job = job_of(services, job_id)
    assert (job.state, job.error["code"], job.error["exit_code"]) == ("failed", "job_crashed", 3)


def test_out_of_memory_is_tried_again(services):
    job_id = submit(services, do="starve")
    run(services, claim(services))
    job = job_of(services, job_id)
    assert (job.state, job.error["code"]) == ("queued", "worker_lost")


def test_a_child_that_has_written_its_end_leaves_by_itself(services):
    job_id = submit(services, do="linger")
    assert run(services, claim(services)) == "returned"
    assert job_of(services, job_id).state == "queued"
    assert (services.settings.state_dir / "left").is_file()


def test_the_log_says_once_how_each_job_ended(services):
    with capture_logs() as lines:
        for do in ("publish", "refuse", "die"):
            submit(services, do=do, ticker=do.upper(), told={"promoted": False})
            run(services, claim(services))
    told = [line for line in lines if line["event"] in ("job ended", "job left")]
    facts = [(line["event"], line["ticker"], line["state"]) for line in told]
    assert facts == [
        ("job ended", "PUBLISH", "succeeded"),
        ("job ended", "REFUSE", "failed"),
        ("job left", "DIE", "queued"),
    ]
    assert (told[0]["version"], told[0]["promoted"], told[1]["code"]) == (1, False, "invalid_spec")


def test_a_job_whose_process_cannot_start_is_tried_again(services):
    job_id = submit(services)
    assert run(services, claim(services), command=("/nowhere/python",)) == "no_process"
    assert job_of(services, job_id).state == "queued"


def test_a_running_job_is_cancelled_and_its_process_gone(services):
    job_id = submit(services, do="idle")
    thread, endings = run_beside(services, claim(services))
    with services.database.write() as tx:
        leases.request_cancel(tx, job_id, now=services.clock())
    thread.join(timeout=20)
    assert endings == ["cancelled"]
    assert job_of(services, job_id).state == "cancelled"


def test_the_time_limit_of_the_order_ends_the_job(services):
    job_id = submit(services, do="idle", timeout_seconds=1)
    assert run(services, claim(services)) == "too_long"
    job = job_of(services, job_id)
    assert (job.state, job.error["code"], job.error["limit_seconds"]) == ("failed", "time_limit_exceeded", 1.0)


def test_a_stop_hands_the_job_back_and_does_not_count_the_attempt(services):
    job_id = submit(services, do="idle")
    stop = threading.Event()
    thread, endings = run_beside(services, claim(services), stop=stop)
    stop.set()
    thread.join(timeout=20)
    assert endings == ["stopped"]
    job = job_of(services, job_id)
    assert (job.state, job.attempt) == ("queued", 0)
    assert claim(services).job_id == job_id


def test_whoever_lost_the_lease_writes_nothing(services):
    job_id = submit(services, do="idle")
    thread, endings = run_beside(services, claim(services))
    with services.database.write() as tx:
        later = services.clock() + timedelta(hours=1)
        assert leases.reap(tx, now=later) == [job_id]
        other = leases.claim(tx, owner="other", lease_seconds=60, now=later + timedelta(hours=1))
    thread.join(timeout=20)
    assert endings == ["lost"]
    job = job_of(services, job_id)
    assert (job.state, job.fence, job.attempt, job.error) == ("running", other.fence, 2, other.error)


def test_an_outage_during_heartbeats_does_not_disturb_the_work(services):
    job_id = submit(services, seconds=2.5)
    job = claim(services)
    flaky = FlakyDatabase(services.database, outages=2)
    assert run(replace(services, database=flaky), job) == "exited"
    assert flaky.outages == 0
    assert job_of(services, job_id).state == "succeeded"


def test_what_a_job_s_process_logs_bears_its_module_s_name(services):
    job_id = submit(services)
    done = subprocess.run([*RUN_JOB, job_id, "7"], capture_output=True, text=True, timeout=60)
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["event"], line["logger"]) == ("job is not ours", "app.worker.run_job")


@pytest.fixture
def log():
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


def test_what_the_child_says_is_logged_under_its_job(services, log):
    job_id = submit(services, do="talk")
    run(services, claim(services))
    (line,) = [line for line in log() if "a library speaks" in line["event"]]
    assert line["job_id"] == job_id


def test_what_tensorflow_says_at_every_start_is_left_out_and_its_faults_are_not(services, log):
    submit(services, do="load")
    run(services, claim(services))
    told = " ".join(line["event"] for line in log())
    assert "oneDNN cannot be used" in told
    assert "absl" not in told and "custom operations" not in told


def test_nothing_of_the_child_is_left_when_the_runner_itself_fails(services, monkeypatch):
    submit(services, do="idle")
    seen = []

    def watch(_services, _held, child, _stop, _spare):
        seen.append(child.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr("app.worker.runner._watch", watch)
    with pytest.raises(KeyboardInterrupt):
        run(services, claim(services))
    assert not is_alive(seen[0])
