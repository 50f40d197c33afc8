"""What is repeated and what is not, against a server that answers what it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.client import ApiError, Client, Invalid, Unavailable, Unexpected, Unreachable
from app.client.attempts import Attempts, told_to_wait
from app.client.wire import options_of
from tests.client.canned import RESET, Said, canned, html_said, json_said, problem_said

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
READY = json_said({"status": "ok", "checks": []})
PRESETS = json_said({"items": []})
JOB = json_said(
    {
        **{"job_id": "j1", "kind": "train", "ticker": "AAA", "state": "queued", "deduplicated": False, "priority": 0},
        **{"progress": None, "attempt": 0, "max_attempts": 3, "cancel_requested": False, "error": None, "result": None},
        **{"created_at": "2026-11-20T12:00:00Z", "started_at": None, "finished_at": None, "submitted_by": "anonymous"},
        "links": {"self": "/v1/jobs/j1", "cancel": "/v1/jobs/j1/cancel"},
    },
    status=202,
)
LATER = problem_said(503, "store_unavailable", Retry_After="0")


@pytest.mark.parametrize(
    "refusal",
    [LATER, problem_said(429, "limited", Retry_After="0"), html_said(502), RESET],
    ids=lambda said: said.status,
)
def test_a_look_is_repeated_until_there_is_an_answer(opened, refusal):
    with canned(refusal, refusal, PRESETS) as server:
        assert opened(server.url).presets() == []
        assert len(server.asked) == 3


def test_an_order_is_repeated_under_one_key_and_the_next_order_has_another(opened):
    with canned(LATER, RESET, JOB) as server:
        client = opened(server.url)
        assert client.train("AAA", spec={"epochs": 1}).id == "j1"
        client.train("AAA")
        keys = [asked.headers["idempotency-key"] for asked in server.asked]
        bodies = [asked.body for asked in server.asked]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert bodies[0] == bodies[2] == b'{"ticker": "AAA", "spec": {"epochs": 1}}'


@pytest.mark.parametrize(("refusal", "error"), [(LATER, Unavailable), (RESET, Unreachable)])
def test_what_would_act_twice_is_sent_once(opened, refusal, error):
    with canned(refusal) as server:
        client = opened(server.url)
        for call in (lambda: client.rollback("AAA"), lambda: client.cancel("j1")):
            with pytest.raises(error):
                call()
        assert len(server.asked) == 2


def test_attempts_end(opened):
    with canned(LATER) as server:
        with pytest.raises(Unavailable) as refused:
            opened(server.url, attempts=3).presets()
        assert len(server.asked) == 3
    assert (refused.value.code, refused.value.facts, refused.value.request_id) == (
        "store_unavailable",
        {"have": 1, "need": 2},
        "r1",
    )


def test_a_refusal_that_will_stay_is_not_repeated(opened):
    with canned(problem_said(422, "invalid_spec")) as server:
        with pytest.raises(Invalid):
            opened(server.url).train("AAA")
        assert len(server.asked) == 1


def test_a_service_that_is_not_ready_is_an_answer(opened):
    unready = json_said({"status": "unavailable", "checks": []}, status=503, Retry_After="5")
    with canned(unready) as server:
        assert opened(server.url).ready().status == "unavailable"
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("said", "code", "word"),
    [
        (html_said(403), "http_403", "text/html"),
        (Said(500), "http_500", "answered 500"),
        (html_said(200), "unexpected_answer", "not as Morrow does"),
        (json_said({"hello": "world"}), "unexpected_answer", "items"),
        (json_said(["no", "object"], status=404), "http_404", "answered 404"),
        (Said(302, headers={"Location": "/login"}), "http_302", "answered 302"),
    ],
)
def test_what_a_proxy_says_is_an_error_of_ours(opened, said, code, word):
    with canned(said) as server, pytest.raises(ApiError) as refused:
        opened(server.url).presets()
    assert refused.value.code == code
    assert word in refused.value.detail


def test_a_raw_answer_that_is_no_json_is_an_error_of_ours():
    from app.client.calls.orders import presets

    with canned(html_said(200)) as server, Client(server.url) as client, pytest.raises(Unexpected):
        client.send_raw(presets())


def test_a_prefix_in_the_address_stays_and_a_ticker_is_quoted(opened):
    with canned(problem_said(404, "no_model_yet")) as server:
        with pytest.raises(ApiError):
            opened(f"{server.url}/morrow/", headers={"X-Key": "k"}).forecast("^GSPC", levels=[80, 95.5], model=2)
        (asked,) = server.asked
    assert asked.path == "/morrow/v1/forecasts/%5EGSPC?model=2&level=80%2C95.5"
    assert asked.headers["x-key"] == "k"
    assert asked.headers["user-agent"].startswith("morrow/")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_a_wait_is_told_in_seconds_or_as_a_date(text, seconds):
    assert told_to_wait({"retry-after": text}, now=NOW) == seconds


def test_pauses_double_with_chance_in_them_and_what_is_told_wins():
    attempts = Attempts(most=9, repeatable=True)
    pauses = [attempts.pause_after_answer(503, {}, now=NOW) for _ in range(7)]
    for pause, longest in zip(pauses, (0.25, 0.5, 1, 2, 4, 8, 8), strict=True):
        assert longest / 2 <= pause <= longest
    assert attempts.pause_after_answer(429, {"retry-after": "9"}, now=NOW) == 9
    assert attempts.pause_after_answer(429, {"retry-after": "9"}, now=NOW) is None


def test_who_is_told_to_wait_for_long_is_told_so():
    attempts = Attempts(most=9, repeatable=True)
    assert attempts.pause_after_answer(503, {"retry-after": "3600"}, now=NOW) is None


def test_what_never_left_may_be_sent_again_whatever_it_is():
    assert Attempts(most=2, repeatable=False).pause_after_loss(sent=False) is not None
    assert Attempts(most=2, repeatable=False).pause_after_loss(sent=True) is None


@pytest.mark.parametrize(
    ("url", "trusts"),
    [
        ("http://127.0.0.1:1", False),
        ("http://[::1]:1", False),
        ("http://localhost", False),
        ("http://example.org", True),
    ],
)
def test_our_own_machine_is_never_behind_a_proxy(url, trusts):
    assert options_of(url, timeout=1, key=None, headers=None)["trust_env"] is trusts
