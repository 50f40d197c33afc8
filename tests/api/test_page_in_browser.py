"""The page as a person sees it: a real browser, no request but to us."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.forecasting.services import Services
from app.jobs import leases
from app.jobs.submission import submit
from tests.api.conftest import serving
from tests.api.rows import add_forecast, add_version

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=8000",
    "--enable-logging=stderr",
    "--v=0",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with serving(services) as address:
        yield address


def shown(url: str, profile: Path) -> str:
    """The page's document after its scripts have run; what the console said must be nothing bad."""
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    return done.stdout


def test_the_page_lists_every_ticker_and_says_that_it_is_no_advice(
    url: str, services: Services, tmp_path: Path
) -> None:
    add_version(services, "MSFT", alias="champion")
    add_version(services, "AAA")
    add_forecast(services, "AAA", version=None, architecture="ewma_t", preset=None, trained_through=None)
    page = shown(url, tmp_path / "profile")
    assert ">MSFT</a>" in page and ">AAA</a>" in page and "ewma_t" in page
    assert "2 tickers" in page and "not investment advice" in page


def test_the_page_shows_the_next_close_of_a_champion_that_says_much_more(
    url: str, services: Services, tmp_path: Path
) -> None:
    targets = [{"field": "close"}, {"field": "high"}]
    spec = {"targets": targets, "strategy": "recursive", "horizon": 251}
    add_version(services, "IBM", preset="ibm-lstm-gru+", spec=spec, alias="champion")
    page = shown(url, tmp_path / "profile")
    assert "1 (lstm+gru)" in page and "1 ticker, read at" in page
    assert page.count('data-label="Point"') == 1


def test_an_empty_registry_says_what_to_do_next(url: str, tmp_path: Path) -> None:
    page = shown(url, tmp_path / "profile")
    assert "curl -X POST" in page and "/v1/train" in page
    assert 'id="empty">' in page and 'id="training" hidden' in page


def test_the_first_training_is_shown_with_how_far_it_is(url: str, services: Services, tmp_path: Path) -> None:
    with services.database.write() as tx:
        submit(tx, kind="train", ticker="AAA", payload={}, dedupe="AAA", now=services.clock())
    page = shown(url, tmp_path / "profile")
    assert "AAA: it waits for a worker." in page
    assert 'id="training">' in page and 'id="empty" hidden' in page
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=600, now=services.clock())
        assert job and leases.report(tx, job.job_id, job.fence, {"stage": "backtest", "fraction": 0.417})
    page = shown(url, tmp_path / "profile")
    assert "AAA: backtest, 42 %." in page
    assert 'id="training">' in page and 'id="empty" hidden' in page


def test_the_api_documentation_is_drawn_without_anything_from_elsewhere(url: str, tmp_path: Path) -> None:
    page = shown(f"{url}/docs", tmp_path / "profile")
    assert "/v1/forecasts/{ticker}" in page.replace("<wbr>", "").replace("\u200b", "")
