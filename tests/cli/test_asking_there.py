"""What the command line says of the address and the key, and while it waits for a service elsewhere."""

from __future__ import annotations

import pytest

from app.client import sync_sending
from tests.bench.processes import free_port
from tests.cli.test_commands import csv_of, one_line_error
from tests.client.canned import canned, json_said, problem_said

MODELS = json_said({"items": [], "next_page_token": None})


@pytest.fixture
def pauses(monkeypatch):
    """The seconds that the client would have waited."""
    waited: list[float] = []
    monkeypatch.setattr(sync_sending.time, "sleep", waited.append)
    return waited


def test_the_password_in_an_address_is_not_shown(run):
    address = f"http://ada:sesame@127.0.0.1:{free_port()}"
    result = run("jobs", "cancel", "j", "--url", address)
    assert result.returncode == 1
    assert "No answer from http://***@127.0.0.1" in one_line_error(result)
    assert "sesame" not in result.stderr
    wrong = run("models", url="http://ada:sesame@x:port")
    assert wrong.returncode == 2
    assert one_line_error(wrong).startswith("error: 'http://***@x:port' is no address")


def test_nor_is_it_in_the_next_command(run, tmp_path):
    file = tmp_path / "bars.csv"
    file.write_text(csv_of([100.0, 101.0]))
    kept = {"findings": [], "rows_taken": 2, "ticker": "MINE", "snapshot_id": "s"}
    answer = json_said({**kept, "first_session": "2024-04-01", "last_session": "2024-04-02"}, status=201)
    with canned(answer) as server:
        result = run("import", "mine", str(file), "--url", server.url.replace("//", "//ada:sesame@"))
    assert "--url 'http://***@127.0.0.1" in result.stdout
    assert "sesame" not in result.stdout


@pytest.mark.parametrize("key", ["mrw_bad\nline", "mrw_\u00fc"])
def test_a_key_that_cannot_be_sent_is_named_and_not_shown(run, key):
    result = run("models", "--url", f"http://127.0.0.1:{free_port()}", api_key=key)
    assert result.returncode == 2
    assert one_line_error(result) == "error: MORROW_API_KEY has characters that no key has"


@pytest.mark.parametrize("reason", ["missing", "malformed"])
def test_who_sends_no_key_is_told_of_the_variable(run, reason):
    refusal = {"status": 401, "code": "unauthorized", "title": "T", "detail": "Authorization: Bearer", "reason": reason}
    with canned(json_said(refusal, status=401)) as server:
        error = one_line_error(run("models", "--url", server.url))
    assert error == f"error: The service asks for a key: set MORROW_API_KEY. [unauthorized, reason={reason}]"


def test_a_wait_that_the_service_asks_for_is_told(run, pauses):
    with canned(problem_said(429, "too_many_requests", Retry_After="60"), MODELS) as server:
        result = run("models", "--url", server.url)
    assert result.returncode == 0
    assert result.stderr.splitlines()[0] == "The service asks for 60 s of patience."
    assert pauses == [60]


def test_a_pause_of_the_clients_own_is_no_news(run, pauses):
    later = problem_said(503, "store_unavailable")
    with canned(later, later, MODELS) as server:
        assert "patience" not in run("models", "--url", server.url).stderr
    assert len(pauses) == 2
