"""Short runs of what `python -m tests.chaos.soak` and `python -m tests.chaos.hostile` do for longer."""

from __future__ import annotations

import os

import pytest

from tests.chaos import soak
from tests.chaos.hostile.__main__ import attack
from tests.chaos.hostile.answers import Answers
from tests.chaos.tables import tell

MINUTES = float(os.environ.get("CHAOS_MINUTES", "1.5"))
REQUESTS = int(os.environ.get("CHAOS_REQUESTS", "6000"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or 1


@pytest.mark.timeout(300 + 120 * MINUTES)
def test_twice_the_usual_load_meets_no_error_and_costs_no_memory(tmp_path):
    soaked = soak.soak(tmp_path, minutes=MINUTES)
    tell(
        f"{soak.CONNECTIONS} connections and {soak.STREAMS} streams while networks train",
        ("", ""),
        soak.rows_of(soaked),
    )
    assert soaked.errors == []
    assert set(soaked.statuses) == {"200"}
    assert soaked.trained > 0
    assert soaked.swapped > 0
    assert soaked.went_on
    assert soaked.p99 <= soak.LONGEST_P99
    assert soaked.growth <= soak.LARGEST_GROWTH


@pytest.mark.timeout(300 + REQUESTS / 5)
def test_hostile_requests_meet_documented_answers(tmp_path):
    answers, _, crashed = attack(tmp_path, requests=REQUESTS, number=SEED)
    tell(f"Hostile requests (seed {SEED})", ("status", "answers"), sorted(answers.statuses.items()))
    assert answers.seen == []
    assert not crashed
    assert answers.statuses.total() > REQUESTS * 0.9


def test_an_offence_is_seen():
    answers = Answers({("GET", "/x"): frozenset({200, 404})})
    for status in (200, 404, 418, 500):
        answers.note("test", ("GET", "/x"), status, "request", b"")
    answers.silence("test", "request", ConnectionResetError())
    assert answers.offences == {"undocumented status": 1, "answered 500": 1, "no answer": 1}
