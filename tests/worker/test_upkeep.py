"""What workers sweep, and when they had better not."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from app.db.engine import Database
from app.errors import BrokerUnavailable, StoreUnavailable
from app.registry import versions
from app.worker.upkeep import again_and_again, sweep_artifacts
from tests.worker.support import published_version


@pytest.fixture
def left_behind(services):
    """A bundle that no row names, older than any job."""
    return leave_behind(services, "GONE", written=0)


@pytest.fixture
def another(services, tmp_path):
    """Services of an empty registry that was begun beside the files of another."""
    database = Database(f"sqlite:///{tmp_path / 'another.db'}")
    database.upgrade()
    yield replace(services, database=database)
    database.close()


def test_a_registry_without_any_version_sweeps_no_bundle(services, left_behind):
    sweep_artifacts(services)
    assert (left_behind / "manifest.json").is_file()


def test_what_no_version_names_goes(services):
    register(services, "OURS", written=0)
    left = leave_behind(services, "GONE", written=1)
    sweep_artifacts(services)
    assert not left.exists()


def test_a_registry_begun_beside_bundles_of_another_sweeps_none_of_them(services, another):
    theirs = register(services, "OLD", written=0)
    left = leave_behind(services, "GONE", written=1)
    register(another, "NEW", written=2)
    assert not_swept(another), "though the other has not said whose they are"
    sweep_artifacts(services)
    assert (theirs.is_dir(), left.is_dir()) == (True, False)
    services.artifacts.delete("/".join(theirs.parts[-2:]))  # now all that is there is named by the new one
    left = leave_behind(services, "GONE", written=3)
    assert not_swept(another)
    assert left.is_dir()


def test_what_goes_wrong_once_is_done_again():
    stop, tries = threading.Event(), []

    def work():
        tries.append(1)
        if len(tries) == 3:
            stop.set()
        raise [StoreUnavailable("away"), ValueError("a mistake"), BrokerUnavailable("away")][len(tries) - 1]

    again_and_again(work, every_seconds=0.01, stop=stop)
    assert len(tries) == 3


def test_what_is_away_is_told_of_once_and_once_when_it_is_back():
    stop = threading.Event()
    broker, store = BrokerUnavailable("no answer"), StoreUnavailable("locked")
    rounds = [broker, broker, broker, None, None, store, store, broker, None]

    def work():
        outcome = rounds.pop(0)
        if not rounds:
            stop.set()
        if outcome:
            raise outcome

    with capture_logs() as lines:
        again_and_again(work, every_seconds=0.01, stop=stop)
    assert [(line["event"], line.get("reason") or line["awaited"]) for line in lines] == [
        ("upkeep waits for the broker", "no answer"),
        ("upkeep goes on", "the broker"),
        ("upkeep waits for a store", "locked"),
        ("upkeep waits for the broker", "no answer"),
        ("upkeep goes on", "the broker"),
    ]


def register(services, ticker, *, written):
    with services.database.write() as tx:
        number = versions.reserve_number(tx, ticker)
    version = published_version(services, ticker=ticker, number=number)
    with services.database.write() as tx:
        versions.register(tx, version)
    return aged(services, version, written)


def leave_behind(services, ticker, *, written):
    return aged(services, published_version(services, ticker=ticker, number=1), written)


def aged(services, version, written):
    folder = services.settings.models_dir / version.location
    os.utime(folder, (written, written))
    return folder


def not_swept(services):
    with capture_logs() as said:
        sweep_artifacts(services)
    return [line["event"] for line in said] == ["artifacts not swept"]
