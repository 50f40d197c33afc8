"""Many at the same moment: one job for one piece of work, an order in the queue, one end to whatever is stopped."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest
from sqlalchemy import select

from app.db import tables
from app.jobs import submission
from tests.bench.processes import running_api
from tests.chaos.town import ask
from tests.worker.support import TOY_WORKER, job_of, started, submit, wait_for

ORDER = {"ticker": "^GSPC", "data": {"source": "sample"}, "spec": {"units": [2], "window": 5, "epochs": 1}}
AT_ONCE = 50
CANCELS = 24


def at_once(ask_one):
    """Call ``ask_one(n)`` from many threads at the same moment; return what each got."""
    gate, answers = threading.Barrier(AT_ONCE), [None] * AT_ONCE

    def wait_and_ask(n):
        gate.wait()
        answers[n] = ask_one(n)

    threads = [threading.Thread(target=wait_and_ask, args=(n,)) for n in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("keys", ["one key", "a key each", "no key"])
def test_fifty_who_ask_for_the_same_get_one_job(services, keys):
    key_of = {"one key": lambda n: "same", "a key each": lambda n: f"key-{n}", "no key": lambda n: None}[keys]
    with running_api("app", "api", home=services.settings.state_dir) as (client, _, _):
        answers = at_once(lambda n: ask(client.url, "/v1/train", ORDER, key=key_of(n), timeout=60))
        again = ask(client.url, "/v1/train", ORDER, key=key_of(0))
    assert {status for status, _, _ in answers} == {202}
    assert {answer["job_id"] for _, answer, _ in answers} == {again[1]["job_id"]}
    with services.database.read() as tx:
        assert len(tx.execute(select(tables.jobs.c.job_id)).all()) == 1


def hand_in(services, name, *, priority):
    with services.database.write() as tx:
        payload = {"do": "publish", "seconds": 0.05}
        urgency = {"priority": priority, "now": services.clock()}
        job, _ = submission.submit(tx, kind="train", ticker=name, payload=payload, dedupe=name, **urgency)
    return job.job_id


def test_the_urgent_go_first_then_the_oldest_and_who_waits_for_another_try_holds_up_nobody(services):
    poison = submit(services, do="die", ticker="POISON")
    low = [hand_in(services, f"L{n}", priority=-5) for n in range(2)]
    high = [hand_in(services, f"H{n}", priority=5) for n in range(2)]
    middle = [hand_in(services, f"M{n}", priority=0) for n in range(2)]
    with started(*TOY_WORKER, "only"):
        wait_for(lambda: all(job_of(services, job_id).is_over for job_id in (*low, *high, *middle, poison)), seconds=90)
    ended = sorted([*low, *high, *middle], key=lambda job_id: job_of(services, job_id).finished_at)
    assert ended == [*high, *middle, *low]
    assert job_of(services, poison).state == "failed"


def test_a_poison_job_ends_after_its_attempts(services):
    job_id = submit(services, do="die")
    with started(*TOY_WORKER, "victim"):
        wait_for(lambda: job_of(services, job_id).is_over, seconds=60)
    job = job_of(services, job_id)
    assert (job.state, job.error["code"], job.attempt) == ("failed", "worker_lost", job.max_attempts)


def test_a_job_cancelled_at_any_moment_is_cancelled_or_done_and_never_both(services):
    dice, ids = random.Random(11), []
    with (
        running_api("app", "api", home=services.settings.state_dir) as (client, _, _),
        started(*TOY_WORKER, "one"),
        started(*TOY_WORKER, "two"),
    ):
        statuses = Counter()
        for n in range(CANCELS):
            job_id = submit(services, ticker=f"C{n}", seconds=0.2)
            ids.append(job_id)
            if n % 3 == 1:  # as it is claimed, as its process starts
                wait_for(lambda job_id=job_id: job_of(services, job_id).state != "queued")
                time.sleep(dice.uniform(0, 2))
            elif n % 3 == 2:  # at work, publishing, or just over
                wait_for(lambda job_id=job_id: job_of(services, job_id).progress)
                time.sleep(dice.uniform(0, 0.5))
            status, answer, _ = ask(client.url, f"/v1/jobs/{job_id}/cancel", {})
            statuses[status] += 1
            assert status == 202 or (status, answer["code"]) == (409, "job_already_over")
        wait_for(lambda: all(job_of(services, job_id).is_over for job_id in ids), seconds=60)
        over = ask(client.url, f"/v1/jobs/{ids[0]}/cancel", {})
    assert (over[0], over[1]["code"]) == (409, "job_already_over")
    with services.database.read() as tx:
        made = Counter(tx.execute(select(tables.versions.c.job_id)).scalars())
    states = {job_id: job_of(services, job_id).state for job_id in ids}
    assert set(states.values()) == {"cancelled", "succeeded"}
    assert made == Counter(job_id for job_id, state in states.items() if state == "succeeded")
