"""Keys, the audit log, and who may listen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from app.bootstrap import INSTALL_SCALE
from app.db.engine import Database
from app.domain.access import parts_of
from app.registry import audit
from tests.bench.processes import free_port
from tests.cli.test_commands import one_line_error
from tests.e2e.service import running

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_a_key_is_shown_once_listed_and_revoked(run, registry):
    assert "morrow keys create" in run("keys", "list").stderr
    made = run("keys", "create", "--name", "Ada", "--scope", "train", "--days", "90")
    assert made.returncode == 0
    assert f"sqlite:///{registry}" in made.stderr
    key_id, secret = parts_of(made.stdout.strip())
    listed = run("keys", "list").stdout
    assert all(word in listed for word in (key_id, "Ada", "train", "valid"))
    assert secret not in listed
    assert run("keys", "revoke", key_id).returncode == 0
    assert "revoked" in run("keys", "list").stdout
    entries = [json.loads(line) for line in run("audit", "--json").stdout.splitlines()]
    assert [(one["who"], one["action"], one["subject"]) for one in entries] == [
        ("cli", "key_revoked", key_id),
        ("cli", "key_created", key_id),
    ]
    assert all(word in run("audit", "--limit", "1").stdout for word in ("key_revoked", key_id))


def test_the_audit_log_shows_times_to_the_minute_and_jobs_by_the_beginning_of_their_ids(run, tmp_path):
    run("keys", "create", "--name", "Ada", "--days", "90")
    database = Database(f"sqlite:///{tmp_path / 'home' / 'morrow.db'}")
    with database.write() as tx:
        audit.record(tx, who="cli", action=audit.JOB_CANCELLED, subject="0123456789abcdef" * 2, now=NOW)
    database.close()
    shown = run("audit").stdout
    assert re.search(r"expires_at=\d{4}-\d\d-\d\d \d\d:\d\dZ ", shown)
    assert "job_cancelled   0123456789ab  " in shown


def test_wrong_calls_end_in_one_line(run, registry):
    assert "one of read, train, admin" in one_line_error(run("keys", "create", "--name", "Ada", "--scope", "root"))
    assert "no_such_key" in one_line_error(run("keys", "revoke", "nobodys0"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["api", "serve"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_nobody_listens_for_others_without_a_key(tmp_path, command, host):
    environment = {**os.environ, "MORROW_HOME": str(tmp_path), "MORROW_HOST": host, "MORROW_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", "app", command], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: {host} ")
    assert "morrow keys create" in line and "MORROW_ADMIN_KEY_FILE" in line


def run_without(package, command, home, **settings):
    """Run a command where a package is not installed."""
    hidden = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['morrow', {command!r}]"
    environment = {**os.environ, "MORROW_HOME": str(home), "MORROW_PORT": str(free_port()), **settings}
    code = f"{hidden}; import app.cli; app.cli.main()"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["api", "serve"])
def test_nobody_listens_who_is_to_count_in_redis_and_has_no_client(tmp_path, command):
    done = run_without("redis", command, tmp_path, MORROW_RATE_LIMIT_STORAGE="redis://127.0.0.1:1/0")
    missing = f"to count in Redis takes more packages (redis is missing): {INSTALL_SCALE}"
    assert (done.returncode, done.stderr) == (1, f"error: MORROW_RATE_LIMIT_STORAGE: {missing}\n")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["api", "serve", "worker"])
@pytest.mark.parametrize(
    ("package", "url"), [("celery", "amqp://127.0.0.1:1//"), ("celery", "redis://h:1"), ("redis", "redis://h:1")]
)
def test_nothing_starts_with_a_broker_and_without_what_talks_to_it(tmp_path, command, package, url):
    done = run_without(package, command, tmp_path, MORROW_BROKER_URL=url)
    missing = f"a broker takes more packages ({package} is missing): {INSTALL_SCALE}"
    assert (done.returncode, done.stderr) == (1, f"error: MORROW_BROKER_URL: {missing}\n")


@pytest.mark.slow
@pytest.mark.parametrize(("package", "extra"), [("psycopg", "scale"), ("uvicorn", "api,worker")])
def test_a_package_that_is_not_there_is_named_with_the_extra_that_has_it(tmp_path, package, extra):
    done = run_without(package, "api", tmp_path, MORROW_DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/none")
    told = one_line_error(done)
    assert told.endswith(f"in the checkout, .venv/bin/python -m pip install -e '.[{extra}]'")
    assert package in told and done.returncode == 1


@pytest.mark.slow
def test_with_a_key_a_service_listens_for_others_and_the_command_line_sends_it(tmp_path, run, monkeypatch):
    home = tmp_path / "home"
    token = run("keys", "create", "--name", "Ada").stdout.strip()
    with running(home, "api", MORROW_HOST="0.0.0.0") as service:
        assert service.ask("/v1/models")[0] == 401
        nowhere = {"home": str(tmp_path / "elsewhere")}
        refused = run("models", "--url", service.url, **nowhere)
        assert "unauthorized" in one_line_error(refused)
        assert run("models", "--url", service.url, api_key=token, **nowhere).returncode == 0
        assert "scope_too_small" in one_line_error(run("refresh", "--url", service.url, api_key=token, **nowhere))
    assert token[13:] not in (home / "service.log").read_text()
