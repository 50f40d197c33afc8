"""``morrow refresh`` as a user types it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.progress import Progress

from app.api.schemas.orders import RefreshIn
from app.cli.place import say_known
from app.cli.work_here import outcome
from app.jobs import fleet, leases, queries
from tests.api.conftest import clock, services, serving, template  # noqa: F401  # the served API is that of its tests
from tests.api.rows import add_version

RESULT = {
    **{"edition": 7, "refreshed": ["AAA"], "unchanged": [], "promoted": ["AAA"], "fell_back": ["CCC"]},
    **{"failed": [{"ticker": "BBB", "problem": {"code": "no_bars", "title": "T", "detail": "None came.", "have": 0}}]},
    **{"scored": 1, "restated": 0, "missing": 0},
}

DAMAGED = "Files are damaged, so an earlier champion answers: CCC."


@contextmanager
def a_worker(services: Any) -> Iterator[None]:  # noqa: F811
    """Be a worker that says ``RESULT`` of one job."""

    def work() -> None:
        job = None
        while job is None and not is_given_up.wait(0.01):
            with services.database.write() as tx:
                job = leases.claim(tx, owner="w", lease_seconds=30, now=datetime.now(UTC))
        if job:
            with services.database.write() as tx:
                leases.succeed(tx, job.job_id, job.fence, RESULT, now=datetime.now(UTC))

    with services.database.write() as tx:
        fleet.beat(tx, "w", host="h", pid=1, now=datetime.now(UTC))
    is_given_up, worker = threading.Event(), threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        is_given_up.set()
        worker.join()


@pytest.mark.parametrize("is_there", [False, True], ids=["here", "there"])
def test_a_refresh_is_followed_and_what_failed_is_told(run, services, is_there):  # noqa: F811
    with serving(services) as url, a_worker(services):
        result = (
            run("refresh", "--url", url, database_url="sqlite:////nowhere/at/all.db") if is_there else run("refresh")
        )
    assert result.returncode == 1
    assert "BBB: None came. [no_bars, have=0]" in result.stderr
    assert result.stdout == f"1 refreshed, 0 unchanged, 1 failed; edition 7. Champion now: AAA. {DAMAGED}\n"


def test_ctrl_c_while_the_bar_begins_cancels_the_job(services, monkeypatch):  # noqa: F811
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "start", interrupted)
    with services.database.write() as tx:
        fleet.beat(tx, "w", host="h", pid=1, now=services.now(tx))
    with pytest.raises(KeyboardInterrupt):
        outcome("refresh", RefreshIn(), title="Refreshing", services=services)
    with services.database.read() as tx:
        assert [job.state for job in queries.list_jobs(tx, limit=9)] == ["cancelled"]


def test_a_refresh_that_is_under_way_is_said_to_be(capsys):
    say_known("refresh", "queued", "j1")
    assert capsys.readouterr().err == "A refresh is queued already as job j1: following that one.\n"


@pytest.mark.slow
def test_without_a_worker_a_refresh_is_done_in_here(run, services):  # noqa: F811
    add_version(services, alias="champion")
    result = run("refresh", source="files", files_dir=str(services.settings.files_dir))
    assert result.returncode == 0, result.stderr
    assert "No worker is running: working in here." in result.stderr
    assert result.stdout.startswith("1 refreshed, 0 unchanged, 0 failed; edition ")
