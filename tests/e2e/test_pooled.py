"""A universe trained over HTTP by a running service, and a ticker that adopts what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from tests.api.rows import write_csv
from tests.e2e.service import running

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

SPEC = {"epochs": 1, "units": [2], "window": 5, "seeds": 1, "early_stopping": None}
WALK = {"kind": "walk_forward", "n_windows": 1, "step_size": 130}


def test_a_universe_becomes_versions_and_another_ticker_adopts_them(tmp_path: Path) -> None:
    for ticker in ("AAA", "BBB", "NEW"):
        write_csv(tmp_path / "prices", ticker, 800)
    (tmp_path / "home").mkdir()
    settings = {"MORROW_SOURCE": "files", "MORROW_FILES_DIR": str(tmp_path / "prices"), "MORROW_TRAIN_THREADS": "1"}
    with running(tmp_path / "home", **settings) as service:
        adoption = {"ticker": "NEW", "preset": "pooled"}
        status, problem = service.ask("/v1/train", adoption)
        assert (status, problem["code"]) == (409, "no_pooled_model")
        universe = {"preset": "pooled", "universe": ["BBB", "AAA"], "spec": SPEC, "evaluation": WALK}
        job = service.finished("/v1/train", universe)
        assert (job["state"], job["ticker"]) == ("succeeded", None), job
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
