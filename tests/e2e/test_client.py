"""A training from Python and one from the command line, by the service as an operator starts it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

from app.client import AsyncClient, Client
from tests.e2e.service import running

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

SMALL = {"architecture": "lstm", "features": ["returns"], "window": 5, "units": [2], "epochs": 2, "batch_size": 512}
DATA = {"source": "sample", "start": "2010-01-01"}


def test_the_service_is_used_from_python_and_from_the_command_line(tmp_path):
    with running(tmp_path) as service, Client(service.url) as morrow:
        stages: list[str] = []
        job = morrow.train("^GSPC", spec=SMALL, data=DATA, promote="never")
        job.wait(on_change=lambda one: stages.append((one.progress or {}).get("stage", one.state)))
        assert job.result["version"] == 1
        assert "backtest" in stages
        forecast = morrow.forecast("^GSPC", model=1, levels=[80, 95])
        assert [interval.level for interval in forecast.steps[0].intervals] == [80, 95]
        assert "model" in morrow.scorecard("^GSPC", 1).to_frame().index

        said = trained_from_the_command_line(service.url)
        assert "Version 2 of ^GSPC" in said
        assert "^GSPC: the next close" in said
        assert [version.version for version in morrow.versions("^GSPC")] == [2, 1]
        assert asyncio.run(backtested(service.url))["protocol"]["refit"] is False


def trained_from_the_command_line(url: str) -> str:
    changes = [
        part for name, value in {**SMALL, "seed": 8}.items() for part in ("--set", f"{name}={json.dumps(value)}")
    ]
    command = [sys.executable, "-m", "app", "train", "^GSPC", "--source", "sample", "--start", "2010-01-01", *changes]
    # Nothing of this machine's registry may be touched.
    elsewhere = {**os.environ, "MORROW_URL": url, "MORROW_HOME": "/nowhere"}
    result = subprocess.run(command, env=elsewhere, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stderr
    assert "100 %" in result.stderr
    return result.stdout


async def backtested(url: str) -> dict:
    async with AsyncClient(url) as morrow:
        once = {"kind": "walk_forward", "refit": False}
        job = await morrow.backtest("^GSPC", spec=SMALL, data=DATA, evaluation=once)
        await job.wait()
        return job.result.model_dump()
