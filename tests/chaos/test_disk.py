"""A full disk: what has to write is refused by a documented status, what reads goes on, and room is enough."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta

import pytest

from app.bootstrap import open_services
from app.errors import StoreUnavailable
from app.keeping.backup import back_up
from app.settings import Settings
from tests.api.rows import add_version, csv_of, network_of
from tests.bench.processes import running_api
from tests.chaos.disks import fill, mounted
from tests.chaos.town import ask, next_weekday
from tests.prices.making import sessions_of
from tests.support.yahoo_server import Listing, bars_of, yahoo_server
from tests.worker.support import TOY_WORKER, job_of, published_version, started, submit, wait_for

WORKER = (sys.executable, "-m", "app", "worker")
ORDER = {"ticker": "^GSPC", "data": {"source": "sample"}, "spec": {"units": [2], "window": 5, "epochs": 1}}
READS = (
    "/v1/forecasts/AAA",
    "/v1/forecasts?tickers=AAA",
    "/v1/models",
    "/v1/jobs",
    "/v1/scores",
)


@pytest.fixture
def disk(tmp_path, environment):
    with mounted(tmp_path / "disk", megabytes=12) as folder:
        yield folder


@pytest.fixture
def on_disk(disk, tmp_path, monkeypatch):
    """Have the state in ``home`` on the small disk, but for what is named: that lies beside it."""

    def place(*names):
        beside = {
            "database_url": f"sqlite:///{tmp_path / 'morrow.db'}",
            "models_store": tmp_path / "models",
            "snapshots_store": tmp_path / "snapshots",
        }
        places = {"home": disk, **{name: beside[name] for name in names}}
        for name, value in places.items():
            monkeypatch.setenv(f"MORROW_{name.upper()}", str(value))
        return places

    return place


def plant(*, source="files", **places):
    services = open_services(Settings(**places))
    add_version(services, "AAA", alias="champion", network=network_of(), source=source)
    return services


def reads_are_answered(url):
    answers = {path: ask(url, path)[0] for path in READS}
    assert answers == dict.fromkeys(READS, 200)


def says_ready(url, status):
    """Wait until a look at the disk is answered so: one holds for a second."""
    wait_for(lambda: ask(url, "/readyz")[0] == status)


def refused(answer):
    status, problem, headers = answer
    assert (status, problem["code"]) == (503, "store_unavailable")
    assert int(headers["Retry-After"]) > 0
    assert "full" in problem["detail"] or "No space" in problem["detail"]


def test_a_full_disk_under_the_database_refuses_work_and_loses_none(disk, monkeypatch):
    monkeypatch.setenv("MORROW_HOME", str(disk))
    plant(home=disk).database.close()
    accepted = set()
    with running_api("app", "api", home=disk) as (client, _, _):
        reads_are_answered(client.url)
        filling = fill(disk)
        for seed in range(2000):  # what room the log has left is used up first
            answer = ask(client.url, "/v1/train", ORDER | {"spec": {**ORDER["spec"], "seed": seed}}, timeout=60)
            if answer[0] != 202:
                break
            accepted.add(answer[1]["job_id"])
        refused(answer)
        reads_are_answered(client.url)
        says_ready(client.url, 503)
        filling.unlink()
        status, job, _ = ask(client.url, "/v1/train", ORDER | {"spec": {**ORDER["spec"], "seed": seed}})
        assert status == 202
        says_ready(client.url, 200)
    services = open_services(Settings(home=disk))
    assert {job_of(services, job_id).job_id for job_id in accepted} == accepted
    assert job_of(services, job["job_id"]).state == "queued"
    services.database.close()


def test_a_full_disk_under_the_artifacts_has_the_job_tried_again(disk, tmp_path, monkeypatch):
    monkeypatch.setenv("MORROW_MODELS_STORE", str(disk))
    services = plant(home=tmp_path / "home", models_store=disk)
    with running_api("app", "api", home=tmp_path / "home") as (client, _, _), started(*TOY_WORKER, "worker"):
        filling = fill(disk)
        job_id = submit(services, seconds=0.1)
        job = wait_for(lambda: (found := job_of(services, job_id)).error and found)
        assert job.error["code"] == "store_unavailable"
        reads_are_answered(client.url)
        says_ready(client.url, 503)
        with pytest.raises(StoreUnavailable):
            published_version(services, ticker="BBB", number=1)
        filling.unlink()
        wait_for(lambda: job_of(services, job_id).is_over)
        assert job_of(services, job_id).state == "succeeded"
        says_ready(client.url, 200)
    services.database.close()


def test_a_full_disk_under_the_snapshots_refuses_an_upload_as_a_whole(disk, on_disk):
    plant(**on_disk("database_url", "models_store")).database.close()
    bars = csv_of(300).encode()
    with running_api("app", "api", home=disk) as (client, _, _):
        filling = fill(disk)
        refused(ask(client.url, "/v1/tickers/UP/bars", bars))
        assert ask(client.url, "/v1/tickers/UP/bars")[0] == 404
        reads_are_answered(client.url)
        filling.unlink()
        assert ask(client.url, "/v1/tickers/UP/bars", bars)[0] == 201
        assert ask(client.url, "/v1/tickers/UP/bars")[0] == 200


@pytest.fixture
def yahoo(environment, monkeypatch):
    """A Yahoo with some years of bars of one ticker, the last one a week old."""
    first = datetime.now(UTC).date() - timedelta(days=1200)
    days = [day for day in sessions_of("AAA", 800, start=first) if day < first + timedelta(days=1193)]
    with yahoo_server({"AAA": Listing(bars_of(days, [100.0 + n % 5 for n in range(len(days))]))}) as server:
        monkeypatch.setenv("MORROW_YAHOO_BASE_URL", server.url)
        monkeypatch.setenv("MORROW_YAHOO_REQUESTS_PER_SECOND", "1000")
        yield server


def another_day(yahoo):
    """Let Yahoo have the bar of one more day; return the day."""
    bars = yahoo.listings["AAA"].bars
    bars += bars_of([next_weekday(bars[-1].day)], [103.0])
    return bars[-1].day


def refreshed(url):
    """Have all tickers refreshed; return which problems were met, and the forecast that is served then."""
    job_id = ask(url, "/v1/refresh", {})[1]["job_id"]
    path = f"/v1/jobs/{job_id}"
    job = wait_for(lambda: (found := ask(url, path)[1])["state"] == "succeeded" and found, seconds=90)
    return [one["problem"]["code"] for one in job["result"]["failed"]], ask(url, "/v1/forecasts/AAA")[1]


@pytest.mark.parametrize("cached", [True, False])
def test_a_full_disk_under_the_cache_of_yahoos_client_is_no_outage(disk, on_disk, yahoo, cached):
    places = on_disk("database_url", "models_store", "snapshots_store")
    plant(source="yahoo", **places).database.close()
    with running_api("app", "api", home=disk) as (client, _, _), started(*WORKER) as worker:
        if cached:
            assert refreshed(client.url)[0] == []
        fill(disk)
        day = another_day(yahoo)
        problems, forecast = refreshed(client.url)
    assert problems == []
    assert forecast["as_of_session"] == day.isoformat()
    assert "degraded" not in forecast["reasons"]
    assert any("asked without a cache" in line for line in worker.said)


def test_a_full_disk_under_the_bars_keeps_the_forecast_and_says_why_there_is_no_newer_one(disk, on_disk, yahoo):
    plant(source="yahoo", **on_disk("database_url", "models_store")).database.close()
    with running_api("app", "api", home=disk) as (client, _, _), started(*WORKER):
        problems, before = refreshed(client.url)
        assert problems == []
        filling = fill(disk)
        day = another_day(yahoo)
        problems, kept = refreshed(client.url)
        assert problems == ["store_unavailable"]
        assert (kept["forecast_id"], kept["steps"]) == (before["forecast_id"], before["steps"])
        filling.unlink()
        problems, forecast = refreshed(client.url)
    assert problems == []
    assert forecast["as_of_session"] == day.isoformat()


def test_a_backup_that_the_disk_has_no_room_for_leaves_nothing_there(disk, tmp_path):
    services = plant(home=tmp_path / "home")
    filling = fill(disk)
    full = filling.stat().st_size
    for pages in range(12):  # of room: wherever in it that ends
        os.truncate(filling, full - pages * 4096)
        with pytest.raises(StoreUnavailable, match="No space"):
            back_up(services, disk / "backup.tar")
        assert list(disk.iterdir()) == [filling]
    filling.unlink()
    back_up(services, disk / "backup.tar")
    assert [path.name for path in disk.iterdir()] == ["backup.tar"]
    services.database.close()
