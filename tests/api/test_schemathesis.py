"""Random requests against the live application: whatever comes, it answers as it documents."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.forecasting.services import Services
from tests.api.conftest import serving
from tests.api.rows import add_forecast, add_version, network_of

pytestmark = pytest.mark.slow

# What counts as no failure, and why.
CONFIG = Path(__file__).parents[2] / "schemathesis.toml"

# Streams have no end, and a job that no worker takes up none either: test_events.py reads them, and their statuses are
# in test_every_request.py.
ENDLESS = "/events$"

EXAMPLES = os.environ.get("MORROW_EXAMPLES", "3")

WIDE = {
    "targets": [{"field": "close"}, {"field": "high"}],
    "horizon": 3,
    "members": [{"architecture": "lstm"}, {"architecture": "gru"}],
}


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    for ticker in ("MSFT", "AAPL"):
        add_version(services, ticker, alias="champion", network=network_of())
        add_version(services, ticker, spec=WIDE)
        add_forecast(services, ticker, version=None, architecture="ewma_t", preset=None, trained_through=None)
    settings = services.settings.model_copy(update={"rate_limit": "", "write_rate_limit": ""})
    with serving(replace(services, settings=settings)) as address:
        yield address


@pytest.mark.timeout(900)
def test_no_request_makes_it_break_its_word(url: str, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("st"), "--config-file", CONFIG, "run", f"{url}/openapi.json"]
    options = ["--checks", "all", "--max-examples", EXAMPLES, "--seed", "1", "--exclude-path-regex", ENDLESS]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
