"""Commands as a user types them, up to what needs a trained model."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from app import __version__
from app.cli.main import morrow
from app.cli.reads import SETTINGS_OF
from app.settings import Settings

HELP = CliRunner(env={"COLUMNS": "200"})


def one_line_error(result) -> str:
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def csv_of(closes: list[float]) -> str:
    days = [date(2024, 4, 1) + timedelta(days=n) for n in range(len(closes) * 2)]
    weekdays = [day for day in days if day.weekday() < 5][: len(closes)]
    rows = zip(weekdays, closes, strict=True)
    return "Date,Open,High,Low,Close\n" + "".join(f"{day},{c},{c + 1},{c - 1},{c}\n" for day, c in rows)


def test_the_version_is_shown(run):
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"morrow {__version__}\n")


@pytest.mark.parametrize("command", SETTINGS_OF)
def test_help_of_a_command_names_every_setting_that_it_reads(command):
    result = HELP.invoke(morrow, [command, "--help"])
    assert result.exit_code == 0
    named = "".join(result.output.split())
    assert all(f"MORROW_{name.upper()}" in named for name in SETTINGS_OF[command])


def test_every_command_says_what_it_reads():
    assert set(get_command(morrow).commands) - {"bench"} == set(SETTINGS_OF)


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["serve", "--port", "70000"], ["forecast"]])
def test_a_wrong_call_ends_with_two(arguments):
    assert HELP.invoke(morrow, arguments).exit_code == 2


@pytest.mark.parametrize("settings", [{}, {"broker_url": "redis://:sesame@127.0.0.1:1/0"}])
def test_queues_that_nobody_tells_of_anything_in_are_refused(run, settings):
    for command in (("worker", "--queues", "train,nonsense"), ("worker",), ("serve",)):
        result = run(*command, queues="train,nonsense", **settings)
        assert result.returncode == 2
        assert ("nonsense" if settings else "MORROW_BROKER_URL") in one_line_error(result)


@pytest.mark.parametrize(
    ("name", "address", "words"),
    [
        ("broker_url", "http://user:sesame@127.0.0.1:1/0", "no broker, such as redis://"),
        ("broker_url", "redis:sesame@x", "no broker"),
        ("broker_url", "redis://:sesame/2@x/0", "no broker"),
        ("broker_url", "redis://:5/sesame@x/0", "no broker"),
        ("broker_url", "redis://:5?sesame@x/0", "no broker"),
        ("broker_url", "amqp://user:5#sesame@x//", "no broker"),
        ("broker_url", "amqp://user:5;sesame@x//", "no broker"),
        ("broker_url", "amqp://user:[sesame@x//", "no broker"),
        ("rate_limit_storage", "redis//:sesame@x", "neither memory nor redis://"),
        ("rate_limit_storage", "redis://user?sesame@x/0", "neither memory nor redis://"),
        ("models_store", "s3:/key:sesame@x", "neither a folder nor s3://"),
        ("snapshots_store", "s3://key:sesame@x", "neither a folder nor s3://"),
        ("s3_endpoint_url", "key:sesame@x", "URL"),
        ("yahoo_base_url", "key:sesame@x", "URL"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(run, name, address, words):
    result = run("models", **{name: address})
    assert result.returncode == 2
    error = one_line_error(result)
    assert f"MORROW_{name.upper()}: " in error and words in error
    assert "sesame" not in error and "Value error" not in error


@pytest.mark.parametrize("address", ["postgresql+psycopg:sesame@x", "postgresql+psycopg://u:pw@x:sesame/db"])
def test_a_database_that_cannot_be_read_is_refused_without_its_password(run, address):
    result = run("models", database_url=address)
    assert result.returncode == 1
    assert "The database URL cannot be read." in one_line_error(result)
    assert "sesame" not in result.stderr


@pytest.mark.parametrize("user", ["user", "user@realm", "user%40realm"])
@pytest.mark.parametrize("rest", ["tail9@host/db", "tail9/2@host/db"])
def test_a_password_of_a_database_that_is_not_escaped_is_refused_and_not_taken_for_a_host(run, user, rest):
    result = run("models", database_url=f"postgresql+psycopg://{user}:sesame@{rest}")
    assert result.returncode == 1
    assert "write an @ of the password as %40" in one_line_error(result)
    assert "sesame" not in result.stderr and "tail9" not in result.stderr


@pytest.mark.parametrize("address", ["amqp://guest:p%2F%40@host:5672//", "redis://host", "redis://a:1/0;redis://b:1/0"])
def test_an_address_of_a_broker_that_can_be_read_is_taken(address):
    assert Settings(broker_url=address).broker_url == address


def test_a_limit_that_is_none_is_refused_with_an_example(run):
    error = one_line_error(run("models", rate_limit="many"))
    assert error.startswith("error: MORROW_RATE_LIMIT: no limit, such as 600/minute")
    assert error.endswith("(have 'many')")


def test_a_setting_out_of_range_is_refused_by_name_with_its_value(run):
    result = run("models", port="70000")
    assert result.returncode == 2
    error = one_line_error(result)
    assert "MORROW_PORT" in error
    assert "70000" in error


def test_a_ticker_without_a_model_is_one_line_with_its_code(run, registry):
    result = run("forecast", "MSFT")
    assert (result.returncode, result.stdout) == (1, "")
    assert "[no_model_yet, ticker=MSFT]" in one_line_error(result)


def test_an_empty_registry_says_how_to_fill_it(run, registry):
    result = run("models")
    assert result.returncode == 0
    assert "morrow train ^GSPC --source sample" in result.stderr


def test_no_jobs_are_said_so_and_an_unknown_state_is_refused(run, registry):
    for options, words in (((), "No job yet."), (("--state", "failed"), "No job is failed.")):
        result = run("jobs", *options)
        assert (result.returncode, result.stdout, result.stderr.strip()) == (0, "", words)
    result = run("jobs", "--state", "lost")
    assert result.returncode == 2
    assert "queued, running, succeeded, failed, cancelled" in one_line_error(result)


def test_a_job_that_is_not_there_cannot_be_cancelled(run, registry):
    result = run("jobs", "cancel", "nothing")
    assert result.returncode == 1
    assert "no_such_job" in one_line_error(result)


def test_a_csv_is_imported_and_one_with_a_bad_row_is_not(run, tmp_path):
    file = tmp_path / "bars.csv"
    file.write_text(csv_of([100.0 + n % 7 for n in range(30)]))
    taken = run("import", "mine", str(file))
    assert taken.returncode == 0, taken.stderr
    assert "Kept 30 bars of MINE" in taken.stdout

    file.write_text(file.read_text() + "2024-05-13,100,101,99,many\n")
    refused = run("import", "mine", str(file))
    assert refused.returncode == 1
    assert "line 32" in refused.stderr
    assert "nothing was kept" in refused.stderr


def test_a_history_too_short_is_refused_before_any_job_with_the_numbers(run, tmp_path):
    file = tmp_path / "bars.csv"
    file.write_text(csv_of([100.0 + n % 7 for n in range(30)]))
    assert run("import", "MINE", str(file)).returncode == 0
    result = run("train", "MINE", "--source", "upload")
    assert result.returncode == 1
    error = one_line_error(result)
    assert "not_enough_history" in error
    assert "have=30" in error
    assert "queued" not in run("jobs").stdout


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("window=many", "spec.window"),
        ("colour=red", "spec.colour"),
        ("window", "KEY=VALUE"),
        ("optimizer.name=magic", "adam"),
    ],
)
def test_a_change_of_the_spec_is_checked_like_a_request(run, change, word):
    result = run("train", "^GSPC", "--source", "sample", "--set", change)
    assert result.returncode == 2
    assert word in one_line_error(result)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["AAPL", "--universe", "AAPL,MSFT", "--preset", "pooled"], 2, "give a TICKER, or --preset pooled"),
        (["--universe", "AAPL,MSFT"], 2, "preset"),
        (["--universe", "AAPL", "--preset", "pooled"], 2, "universe"),
        (["--universe", "AAPL, aapl", "--preset", "pooled"], 2, "named twice: AAPL"),
        (["--universe", "^GSPC,MSFT", "--preset", "pooled", "--source", "sample"], 1, "ticker=MSFT"),
        (["AAPL", "--preset", "pooled"], 1, "no_pooled_model"),
    ],
)
def test_a_universe_is_checked_like_a_request(run, arguments, code, word):
    result = run("train", *arguments)
    assert result.returncode == code
    assert word in one_line_error(result)
    assert "queued" not in run("jobs").stdout


def test_once_without_first_run_is_refused(run):
    assert run("serve", "--once").returncode == 2


def test_health_fails_where_nothing_runs(run):
    assert "not ready" in one_line_error(run("health", "api", port="1"))
    assert "No worker" in one_line_error(run("health", "worker"))
    assert run("health", "cat").returncode == 2
