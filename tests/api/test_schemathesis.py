"""Random requests against the live application: whatever comes, it answers as it documents."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from app.api.app import create_app
from app.forecasting.services import Services
from tests.api.rows import add_forecast, add_version, network_of

pytestmark = pytest.mark.slow

# What counts as no failure, and why.
CONFIG = Path(__file__).parents[2] / "schemathesis.toml"


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    for ticker in ("MSFT", "AAPL"):
        add_version(services, ticker, alias="champion", network=network_of())
        add_version(services, ticker, spec={"horizon": 3})
        add_forecast(services, ticker, version=None, architecture="ewma_t", preset=None, trained_through=None)
    server = uvicorn.Server(uvicorn.Config(create_app(services), port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.timeout(900)
def test_no_request_makes_it_break_its_word(url: str, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("st"), "--config-file", CONFIG, "run", f"{url}/openapi.json"]
    options = ["--checks", "all", "--max-examples", "50", "--seed", "1"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
