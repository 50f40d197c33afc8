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

# Well-formed requests that are refused for what no schema can say: an order that contradicts itself, an unknown
# ticker, a horizon beyond the version's, bars that do not add up; a token that no list gave out; another's tag.
CONFIG = """
[[operations]]
include-path-regex = "/v1/(train|forecasts|tickers)"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "422"]

[[operations]]
include-path-regex = "/v1/(jobs|models|models/.ticker.)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409"]

[[operations]]
include-path-regex = "/aliases/.alias.$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "412", "428"]
"""


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
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [Path(sys.executable).with_name("st"), "--config-file", config, "run", f"{url}/openapi.json"]
    options = ["--checks", "all", "--max-examples", "50", "--seed", "1"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
