"""A universe trained over HTTP and from the command line by a running service, and a ticker that adopts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from tests.api.rows import write_csv
from tests.e2e.service import running

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

SPEC = {"epochs": 1, "units": [2], "window": 5, "seeds": 1, "early_stopping": None}


@contextmanager
def command_line(*arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``morrow`` for the length of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *arguments], env={**os.environ, **settings}, text=True, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_universe_becomes_versions_and_another_ticker_adopts_them(tmp_path: Path) -> None:
    for ticker in ("AAA", "BBB", "NEW"):
        write_csv(tmp_path / "prices", ticker, 800)
    (tmp_path / "home").mkdir()
    settings = {"MORROW_SOURCE": "files", "MORROW_FILES_DIR": str(tmp_path / "prices"), "MORROW_TRAIN_THREADS": "1"}
    with running(tmp_path / "home", **settings) as service:
        adoption = {"ticker": "NEW", "preset": "pooled"}
        status, problem = service.ask("/v1/train", adoption)
        assert (status, problem["code"]) == (409, "no_pooled_model")
        universe = {"preset": "pooled", "universe": ["BBB", "AAA"], "spec": SPEC}
        fields = [part for name, value in SPEC.items() for part in ("--set", f"{name}={json.dumps(value)}")]
        train = ("train", "--preset", "pooled", "--universe", "AAA, bbb", *fields)
        with command_line(*train, MORROW_HOME=str(tmp_path / "home"), **settings) as typed:
            while not service.ask("/v1/jobs?kind=train")[1]["items"]:
                assert typed.poll() is None
                time.sleep(0.1)
            _, same = service.ask("/v1/train", universe)
            job = service.wait(same["links"]["self"])
            said, _ = typed.communicate(timeout=60)
        assert same["deduplicated"]
        assert (job["state"], job["ticker"]) == ("succeeded", None), job
        assert typed.returncode == 0 and "Version 1 of AAA" in said and "Version 1 of BBB" in said
        made = job["result"]["versions"]
        assert [(one["ticker"], one["version"]) for one in made] == [("AAA", 1), ("BBB", 1)]
        adopted = service.finished("/v1/train", adoption)
        assert adopted["state"] == "succeeded", adopted
        for result in (*made, adopted["result"]):
            assert {"ticker", "version", "promoted", "reasons", "url"} <= set(result)
            _, version = service.ask(result["url"])
            assert version["preset"] == "pooled"
            _, forecast = service.ask(f"/v1/forecasts/{result['ticker']}?model=1")
            assert forecast["model"]["version"] == 1
