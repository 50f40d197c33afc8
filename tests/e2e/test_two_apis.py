"""Two processes of the API on one PostgreSQL: what one is told, the other answers."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import open_services
from app.settings import Settings
from tests.api.rows import add_version
from tests.db.databases import postgres_schema
from tests.e2e.service import Service, running

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

ROUNDS = 5
CHAMPION = "/v1/models/AAA/aliases/champion"
FORECAST = "/v1/forecasts/AAA"


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """Two that share a registry with two versions of AAA, the first of them champion."""
    home = tmp_path_factory.mktemp("home")
    (home / "prices").mkdir()
    for url in postgres_schema():
        services = open_services(Settings(home=home, source="files", files_dir=home / "prices", database_url=url))
        for alias in ("champion", None):
            add_version(services, alias=alias)
        services.database.close()
        settings = {"MORROW_SOURCE": "files", "MORROW_FILES_DIR": str(home / "prices"), "MORROW_DATABASE_URL": url}
        with ExitStack() as stack:
            yield tuple(stack.enter_context(running(_of(home, n), "api", **settings, **_shared(home))) for n in "12")


def test_a_promotion_by_one_is_answered_by_the_other_within_a_second(apis: tuple[Service, Service]) -> None:
    first, second = apis
    took = []
    for n in range(ROUNDS):
        version = 2 - n % 2
        assert answered(second) != version, "it answers from memory what held until now"
        promoted = promote(first, version)
        while answered(second) != version:
            time.sleep(0.01)
        took.append(time.monotonic() - promoted)
    assert min(took) < 1.0


def test_a_promotion_by_one_is_told_by_the_stream_of_the_other_within_a_second(apis: tuple[Service, Service]) -> None:
    first, second = apis
    took = []
    with urllib.request.urlopen(f"{second.url}/v1/events", timeout=30) as stream:
        editions = (int(told["edition"]) for told in data_in(stream) if "edition" in told)
        known = next(editions)
        for n in range(ROUNDS):
            promoted = promote(first, 2 - n % 2)
            edition = next(editions)
            took.append(time.monotonic() - promoted)
            assert edition > known
            known = edition
    assert min(took) < 1.0


def test_a_job_that_is_cancelled_at_one_is_told_by_the_stream_of_the_other(apis: tuple[Service, Service]) -> None:
    first, second = apis
    _, job = first.ask("/v1/train", {"ticker": "^GSPC", "data": {"source": "sample"}})
    with urllib.request.urlopen(second.url + job["links"]["events"], timeout=30) as stream:
        told = data_in(stream)
        assert next(told)["state"] == "queued"
        first.ask(job["links"]["cancel"], method="POST")
        assert next(told)["state"] == "cancelled"


def promote(api: Service, version: int) -> float:
    """Point champion at the version; return the moment when that was answered."""
    with urllib.request.urlopen(api.url + CHAMPION, timeout=30) as answer:
        tag = answer.headers["ETag"]
    headers = {"Content-Type": "application/json", "If-Match": tag}
    body = json.dumps({"version": version, "reason": "a test"}).encode()
    request = urllib.request.Request(api.url + CHAMPION, body, headers, method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        return time.monotonic()


def answered(api: Service) -> Any:
    return api.ask(FORECAST)[1]["model"]["version"]


def data_in(stream: Any) -> Iterator[dict[str, Any]]:
    """What the events of a stream say."""
    return (json.loads(line[5:]) for line in stream if line.startswith(b"data:"))


def _of(home: Path, name: str) -> Path:
    """A folder of the process's own, for its log."""
    folder = home / name
    folder.mkdir()
    return folder


def _shared(home: Path) -> dict[str, str]:
    return {"MORROW_MODELS_STORE": str(home / "models_store")}
