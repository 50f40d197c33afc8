"""Commands with ``--url``: they say of a service what they say of the registry of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from app.client import Client
from app.observability.logs import configure_logging
from app.registry import versions
from tests.api.conftest import clock, services, serving, template  # noqa: F401  # the served API is that of its tests
from tests.api.rows import NOW, add_forecast, add_version, csv_of
from tests.bench.processes import free_port
from tests.cli.test_commands import one_line_error
from tests.packaging import ROOT

NOTHING_HERE = {"database_url": "sqlite:////nowhere/at/all.db", "home": "/nowhere"}


@pytest.fixture
def url(services, _logging_as_it_was):  # noqa: F811
    configure_logging("warning", "json")  # the service runs in here: what it tells its log is no word of the command
    with serving(services) as address:
        yield address


@pytest.mark.parametrize(
    "command",
    [
        ("forecast", "aaa"),
        ("forecast", "AAA", "--model", "1", "--level", "50", "--json"),
        ("forecast", "BBB"),
        ("models",),
        ("models", "AAA"),
        ("jobs",),
        ("jobs", "--state", "queued"),
    ],
    ids=" ".join,
)
def test_a_service_is_shown_as_the_registry_is(run, url, services, command):  # noqa: F811
    add_version(services, alias="champion", spec={"horizon": 3})
    add_version(services, reasons=())
    add_version(services, "BBB")
    add_forecast(services, "BBB", version=None, architecture="ewma_t", preset=None, trained_through=None, horizon=2)
    with services.database.write() as tx:
        versions.note_damage(tx, "AAA", 2, at=NOW)
    with Client(url) as morrow:
        morrow.backtest("AAA")
        morrow.train("BBB").cancel()
    here = run(*command)
    there = run(*command, "--url", url, **NOTHING_HERE)
    assert here.returncode == there.returncode == 0, there.stderr
    assert len(here.stdout.splitlines()) >= 3
    if "--json" in command:
        here, there = (json.loads(said.stdout) for said in (here, there))
        # Which of these hold depends on when one asks, and only the service has the test's clock.
        assert [one.pop(name) for name in ("state", "reasons", "next_update_at") for one in (here, there)]
        assert here == there
    elif command[0] != "forecast":
        assert there.stdout == here.stdout
        assert ("files damaged" in here.stdout) == (command == ("models", "AAA"))
    else:
        assert there.stdout.splitlines()[:4] == here.stdout.splitlines()[:4]


def test_the_address_may_be_an_environment_variable(run, url, services):  # noqa: F811
    add_version(services)
    assert "AAA" in run("models", url=url, **NOTHING_HERE).stdout


def test_an_empty_service_says_how_to_fill_it(run, url):
    result = run("models", "--url", url)
    assert result.returncode == 0
    assert "morrow train ^GSPC --source sample" in result.stderr


@pytest.mark.parametrize("place", [("jobs", "cancel", "ID", "--url", "URL"), ("jobs", "--url", "URL", "cancel", "ID")])
def test_a_job_is_cancelled_by_the_beginning_of_its_id(run, url, place):
    with Client(url) as morrow:
        job = morrow.train("AAA")
        named = {"ID": job.id[:9], "URL": url}
        result = run(*(named.get(word, word) for word in place), **NOTHING_HERE)
        assert (result.returncode, result.stdout) == (0, f"{job.id[:9]} is cancelled.\n")
        assert job.refresh().state == "cancelled"
    again = run("jobs", "cancel", job.id, "--url", url)
    assert again.returncode == 1
    assert "job_already_over" in one_line_error(again)


def test_bars_are_imported_there_and_refused_with_their_lines(run, url, tmp_path):
    file = tmp_path / "bars.csv"
    file.write_text(csv_of(80))
    taken = run("import", "mine", str(file), "--url", url, **NOTHING_HERE)
    assert taken.returncode == 0, taken.stderr
    assert "Kept 80 bars of MINE" in taken.stdout
    assert f"train MINE --source upload --url {url}" in taken.stdout
    assert taken.stdout.splitlines()[0] == run("import", "mine", str(file)).stdout.splitlines()[0]

    file.write_text(file.read_text() + "2026-11-23,100,101,99,many,1\n")
    refused = run("import", "mine", str(file), "--url", url)
    assert refused.returncode == 1
    first, last = refused.stderr.strip().splitlines()
    assert first.startswith("line 82: ")
    assert last.startswith("error: 1 of 81 rows cannot be read; nothing was stored. [invalid_bars")


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        (("train", "AAA", "--set", "colour=red"), 2, "spec.colour"),
        (("train", "SHORT"), 1, "not_enough_history"),
        (("train", "AAA", "--source", "moon"), 1, "unknown_source"),
        (("train", "AAA", "--set", 'peers=["AAA"]'), 1, "/spec/peers"),
        (("backtest", "AAA", "--preset", "pooled"), 1, "invalid_spec"),
        (("tune", "AAA", "--space", "colour=[1]"), 1, "no field 'colour'"),
        (("forecast", "ZZZ"), 1, "[no_model_yet, ticker=ZZZ]"),
        (("forecast", "not a ticker"), 1, "/path/ticker"),
        (("models", "ZZZ"), 1, "no_model_yet"),
        (("jobs", "cancel", "nothing"), 1, "no_such_job"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_refusal_is_one_line_that_names_the_field(run, url, command, code, word):
    result = run(*command, "--url", url, **NOTHING_HERE)
    assert (result.returncode, result.stdout) == (code, "")
    assert word in one_line_error(result)


def test_nobody_there_is_one_line_and_an_address_that_is_none_is_asked_wrongly(run):
    gone = run("jobs", "cancel", "j", "--url", f"http://127.0.0.1:{free_port()}")
    assert gone.returncode == 1
    assert "[unreachable]" in one_line_error(gone)
    assert run("models", "--url", "localhost:8000").returncode == 2


@pytest.mark.parametrize(
    ("number", "code", "state"), [(signal.SIGINT, 130, "cancelled"), (signal.SIGTERM, 143, "queued")]
)
def test_ctrl_c_cancels_the_job_and_says_so_and_sigterm_leaves_it(url, number, code, state):
    command = [sys.executable, "-m", "app", "train", "AAA", "--url", url]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "FORCE_COLOR": "1"}, stderr=subprocess.PIPE)
    try:
        with Client(url) as morrow:
            while not (jobs := list(morrow.jobs(state="queued"))):
                assert process.poll() is None, process.stderr.read()
            assert b"Ctrl-C cancels it" in process.stderr.readline()
            process.stderr.read(1)  # the bar is there, so the job is followed
            process.send_signal(number)
            said = process.communicate(timeout=30)[1]
            assert process.returncode == code
            assert b"Traceback" not in said
            assert said.endswith(b"Cancelled.\n") == (state == "cancelled")
            assert jobs[0].refresh().state == state
    finally:
        process.kill()
        process.wait()


def test_the_same_order_is_followed_and_said_so(run, url):
    with Client(url) as morrow:
        job = morrow.train("AAA", preset="default")
        command = [sys.executable, "-m", "app", "train", "AAA", "--url", url]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        assert b"queued already as job" in process.stderr.readline()
        job.cancel()
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert b"The job was cancelled." in said
