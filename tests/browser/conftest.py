"""A real Chromium that may talk to nobody but the service, and whose complaints fail the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import clock, services, template  # noqa: F401 - fixtures
from tests.browser.world import closed_sessions, open_world
from tests.e2e.service import Service, running

CHROMIUM = shutil.which("chromium")
LIVED = 40
TICKERS = ("ALFA", "BETA", "GAMA", "DELT")


@dataclass
class Visitor:
    """Somebody in front of the browser, and what the browser complained of meanwhile."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)

    def opens(self, view: str = "") -> None:
        """Open a view and wait until it is drawn."""
        self.page.goto(f"{self.url}/{view}")
        self.page.locator("#view h1").first.wait_for()

    def sees(self, text: str) -> None:
        """Wait until the view says so."""
        self.page.locator("#view").get_by_text(text).first.wait_for()


@pytest.fixture(scope="module")  # while its driver is there, an event loop runs in this thread, which others want
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    driver = pytest.importorskip("playwright.sync_api", reason="the driver of the browser is not installed")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"])
        yield browser
        browser.close()


@contextmanager
def visiting(
    chromium: Any, url: str, *, width: int = 1280, scheme: str = "light", expected: tuple[str, ...] = ()
) -> Iterator[Visitor]:
    """Sit down at the page of ``url``; in the end nothing but what is ``expected`` may have gone wrong."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(30_000)
    visitor = Visitor(context.new_page(), url)
    note = visitor.complaints.append
    visitor.page.on("console", lambda said: note(said.text) if said.type in ("error", "warning") else None)
    visitor.page.on("pageerror", lambda error: note(str(error)))
    context.on("request", lambda asked: note(f"left the house: {asked.url}") if not is_ours(asked.url) else None)
    try:
        yield visitor
    finally:
        context.close()
    unexpected = [said for said in visitor.complaints if not any(text in said for text in expected)]
    assert unexpected == []


def is_ours(url: str) -> bool:
    """Whether a request stays on this machine."""
    return urlsplit(url).scheme in ("data", "blob") or urlsplit(url).hostname == "127.0.0.1"


@pytest.fixture(scope="session")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a service that has trained, promoted, forecast and scored for some weeks."""
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    home = tmp_path_factory.mktemp("lived_in")
    world = open_world(home, *TICKERS)
    days = closed_sessions(LIVED)
    world.open_on(days[0])
    world.train("ALFA", promote=True)
    world.train("BETA", promote=False)
    for day in days[1 : LIVED // 2]:
        world.pass_to(day)
    world.train("ALFA", promote=True, horizon=5, strategy="encoder_decoder", seed=8)
    world.train("GAMA", promote=True, architecture="lstm", seeds=2)
    for day in days[LIVED // 2 :]:
        world.pass_to(day)
    world.services.database.close()
    return home


@pytest.fixture(scope="session")
def trained(lived_in: Path) -> Iterator[Service]:
    """``morrow serve`` over that state, with a job that succeeded and one that somebody cancelled."""
    with running(lived_in, MORROW_SOURCE="files", MORROW_FILES_DIR=str(lived_in / "prices")) as service:
        assert service.finished("/v1/refresh", {})["state"] == "succeeded"
        _, job = service.ask("/v1/train", {"ticker": "GAMA", "spec": {"epochs": 900, "window": 200}})
        service.ask(job["links"]["cancel"], {})
        assert service.wait(job["links"]["self"])["state"] == "cancelled"
        yield service


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """``morrow api`` of somebody who has just installed it."""
    with running(tmp_path_factory.mktemp("empty"), "api", MORROW_SOURCE="sample") as service:
        yield service
