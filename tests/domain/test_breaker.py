"""The breaker as a machine: when it opens, for how long, and what closes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.breaker import (
    CLOSED,
    HALF_OPEN,
    LONGEST_PAUSE,
    OPEN,
    Breaker,
    Patience,
    answered,
    failed,
    probing,
    refused,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PATIENCE = Patience()


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def answer(breaker: Breaker, now: datetime = NOON, *, asked: Breaker | None = None) -> Breaker:
    return answered(breaker, asked=asked or breaker)


def outage(breaker: Breaker, now: datetime = NOON, *, asked: Breaker | None = None) -> Breaker:
    return failed(breaker, PATIENCE, asked=asked or breaker, code="source_unavailable", now=now)


def refusal(
    breaker: Breaker, now: datetime = NOON, *, seconds: float | None = None, asked: Breaker | None = None
) -> Breaker:
    pause = None if seconds is None else timedelta(seconds=seconds)
    return refused(breaker, PATIENCE, asked=asked or breaker, code="source_rate_limited", asked_pause=pause, now=now)


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(PATIENCE.failures):
        breaker = outage(breaker)
    return breaker


def test_failures_in_a_row_open_it_and_an_answer_between_starts_the_count_anew():
    breaker = Breaker()
    for _ in range(PATIENCE.failures - 1):
        breaker = outage(breaker)
    assert breaker.state == CLOSED
    assert answer(breaker) == Breaker()
    breaker = outage(breaker)
    assert (breaker.state, breaker.code) == (OPEN, "source_unavailable")
    assert breaker.pause(now=NOON) == PATIENCE.first_pause


def test_while_open_nobody_may_ask_and_then_one_may():
    breaker = opened()
    ends = NOON + PATIENCE.first_pause
    assert not breaker.admits(now=ends - timedelta(microseconds=1))
    assert breaker.admits(now=ends)
    probe = probing(breaker, PATIENCE, now=ends)
    assert probe.state == HALF_OPEN
    assert not probe.admits(now=ends)
    assert probe.admits(now=ends + PATIENCE.probe), "the one that asks may have died"
    assert answer(probe) == Breaker()


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest():
    breaker, now, pauses = opened(), NOON, []
    for _ in range(12):
        pauses.append(breaker.pause(now=now))
        now += pauses[-1]
        breaker = outage(probing(breaker, PATIENCE, now=now), now)
    assert pauses[:3] == [PATIENCE.first_pause * factor for factor in (1, 2, 4)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == PATIENCE.longest_pause


def test_an_outage_of_years_ends_in_a_date():
    assert outage(Breaker(state=HALF_OPEN, openings=10**6)).until == NOON + PATIENCE.longest_pause


@pytest.mark.parametrize(
    ("seconds", "pause"),
    [(None, PATIENCE.longest_pause), (60, timedelta(seconds=60)), (0, timedelta(seconds=1)), (10**9, LONGEST_PAUSE)],
)
def test_a_refusal_opens_it_at_once_for_as_long_as_the_source_says(seconds, pause):
    breaker = refusal(Breaker(), seconds=seconds)
    assert (breaker.state, breaker.code) == (OPEN, "source_rate_limited")
    assert breaker.pause(now=NOON) == pause


def test_what_was_asked_before_it_opened_neither_closes_it_nor_counts():
    breaker = refusal(Breaker())
    assert answer(breaker, asked=Breaker()) == breaker
    assert outage(breaker, after(1), asked=Breaker()) == breaker
    assert refusal(breaker, after(1), asked=Breaker(), seconds=10) == breaker
    later = refusal(breaker, after(1), asked=Breaker())
    assert (later.until, later.openings) == (after(1) + PATIENCE.longest_pause, breaker.openings)


@pytest.mark.parametrize("said", [answer, outage, refusal])
def test_while_it_is_being_tried_only_the_one_that_tries_is_believed(said):
    gives_up_at = NOON + PATIENCE.first_pause + PATIENCE.probe
    first = probing(opened(), PATIENCE, now=NOON + PATIENCE.first_pause)
    second = probing(first, PATIENCE, now=gives_up_at)
    for late in (Breaker(), Breaker(failures=2), first):
        assert said(second, gives_up_at, asked=late) == second
    assert said(second, gives_up_at, asked=second).state == (CLOSED if said is answer else OPEN)
    assert said(first, gives_up_at, asked=first).state != HALF_OPEN, "late, but nobody else has tried"


@given(st.lists(st.sampled_from(["outage", "refusal", "answer"]), max_size=40), st.integers(0, 2000))
def test_whatever_happens_it_is_open_with_an_end_or_closed_without_one(events, step):
    breaker, now = Breaker(), NOON
    for event in events:
        now += timedelta(seconds=step)
        if not breaker.admits(now=now):
            assert NOON < breaker.until <= now + LONGEST_PAUSE
            continue
        if breaker.state != CLOSED:
            breaker = probing(breaker, PATIENCE, now=now)
        breaker = {"outage": outage, "refusal": refusal, "answer": answer}[event](breaker, now)
        assert (breaker.until is None) == (breaker.state == CLOSED)
        assert breaker.failures < PATIENCE.failures
