"""Every view, on services in every condition: drawn, readable by all, quiet in the console, and fitting."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import open_services
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.jobs import leases
from app.jobs.submission import submit
from app.registry import versions
from app.settings import Settings
from tests.api.conftest import serving
from tests.api.rows import NOW, add_forecast, add_version
from tests.browser.conftest import Visitor, visiting
from tests.e2e.service import Service

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VIEWS = {
    "overview": "",
    "ticker": "#/tickers/ALFA",
    "baseline": "#/tickers/BETA",
    "several-networks": "#/tickers/GAMA",
    "train": "#/train?ticker=ALFA&peers=BETA",
    "jobs": "#/jobs",
    "peers": "#/peers?ticker=ALFA",
}
WIDTHS = [1920, 1280, 390, 320]
SCREENSHOTS = os.environ.get("MORROW_SCREENSHOTS")
NO_SUCH = ("404 (Not Found)",)  # the browser's own word on what the view then says itself


def is_settled(visitor: Visitor) -> None:
    """Wait until every chart that is in sight is drawn."""
    visitor.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    for chart in visitor.page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for()
    visitor.page.evaluate("scrollTo(0, 0)")


def violations(visitor: Visitor) -> list[str]:
    """What axe-core finds that shuts somebody out."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(visitor.page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html'][:160]}" for one in serious for node in one["nodes"]]


def overflow(visitor: Visitor) -> int:
    """By how many pixels the page, or on a wide screen a table, is wider than its place, or a chart higher."""
    fits = "innerWidth >= 1280 || it.querySelector('.stacked')"
    too_wide = f"(it) => {fits} ? it.scrollWidth - it.clientWidth : 0"
    tables = f"[...document.querySelectorAll('.scroll')].map({too_wide})"
    too_high = "(it) => it.querySelector('.main-svg').clientHeight - it.clientHeight"
    charts = f"[...document.querySelectorAll('.chart')].map({too_high})"
    return int(
        visitor.page.evaluate(f"Math.max(document.documentElement.scrollWidth - innerWidth, ...{charts}, ...{tables})")
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_trained_service_is_drawn_fits_and_shuts_nobody_out(
    view: str, scheme: str, chromium: Any, trained: Service, tmp_path: Path
) -> None:
    folder = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path
    with visiting(chromium, trained.url, scheme=scheme) as visitor:
        visitor.opens(VIEWS[view])
        is_settled(visitor)
        for width in WIDTHS:
            visitor.page.set_viewport_size({"width": width, "height": 900})
            is_settled(visitor)
            visitor.page.screenshot(path=folder / f"{view}-{width}-{scheme}.png", full_page=True)
            assert overflow(visitor) <= 0, width
            if width in (1280, 390):
                assert violations(visitor) == [], width


def test_the_documentation_of_the_api_is_drawn_without_anything_from_elsewhere(chromium: Any, empty: Service) -> None:
    with visiting(chromium, empty.url) as visitor:
        visitor.page.goto(f"{empty.url}/docs")
        visitor.page.locator(".opblock-summary").first.wait_for()
        assert visitor.page.locator(".opblock-summary").count() > 30


@pytest.mark.parametrize("view", ["", "#/train", "#/jobs", "#/peers"])
def test_a_view_of_an_empty_service_says_what_to_do_next(view: str, chromium: Any, empty: Service) -> None:
    with visiting(chromium, empty.url) as visitor:
        visitor.opens(view)
        assert violations(visitor) == []
        assert visitor.page.get_by_role("link", name="Train").first.is_visible()
    if view == "":
        with visiting(chromium, empty.url, scheme="dark", width=390) as visitor:
            visitor.opens(view)
            visitor.sees("curl -X POST")
            assert overflow(visitor) <= 0


def test_a_ticker_that_nobody_has_trained_is_named_and_can_be_trained(chromium: Any, empty: Service) -> None:
    with visiting(chromium, empty.url, expected=NO_SUCH) as visitor:
        visitor.opens("#/tickers/NONE")
        visitor.sees("NONE has no version yet")
        visitor.page.locator("#view").get_by_role("link", name="Train").click()
        assert visitor.page.get_by_label("Ticker", exact=True).input_value() == "NONE"


def test_an_address_that_is_no_view_leads_back(chromium: Any, empty: Service) -> None:
    with visiting(chromium, empty.url) as visitor:
        visitor.opens("#/nowhere")
        visitor.page.get_by_role("link", name="To the overview").click()
        visitor.sees("Nothing is forecast yet")


@contextmanager
def made_up(home: Path, make: Callable[[Services], None], **settings: Any) -> Iterator[str]:
    """Serve a registry with what ``make`` leaves in it."""
    services = open_services(Settings(home=home, **settings), clock=lambda: NOW)
    make(services)
    with serving(services) as url:
        yield url
    services.database.close()


def test_why_a_job_failed_is_told_with_its_numbers(chromium: Any, tmp_path: Path) -> None:
    from app.errors import NotEnoughHistory

    def fails(services: Services) -> None:
        with services.database.write() as tx:
            submit(tx, kind="train", ticker="AAA", payload={}, dedupe="AAA", now=NOW)
            job = leases.claim(tx, owner="w", lease_seconds=600, now=NOW)
            assert job is not None
            why = NotEnoughHistory("AAA has 60 sessions, at least 700 needed.", have=60, need=700)
            assert leases.fail(tx, job.job_id, job.fence, why, now=NOW) == "failed"

    with made_up(tmp_path, fails) as url, visiting(chromium, url) as visitor:
        visitor.opens()
        visitor.sees("The newest training failed")
        visitor.page.locator("#view").get_by_role("link", name="train AAA").click()
        visitor.page.get_by_role("heading", name="Why it failed").wait_for()
        told = visitor.page.locator(".card", has_text="Why it failed").inner_text()
        assert "60 sessions, at least 700 needed" in told and "not_enough_history" in told
        assert [part.strip() for part in told.split("\n")[-4:]] == ["have", "60", "need", "700"]
        assert violations(visitor) == []


def test_a_source_that_is_down_is_told_of_and_the_last_good_forecast_is_shown(chromium: Any, tmp_path: Path) -> None:
    pytest.importorskip("yfinance", reason="the worker extra is not installed")

    def outage(services: Services) -> None:
        add_version(services, "AAA", alias="champion", source="yahoo")
        add_forecast(services, "AAA", version=1)
        said = refresh_tickers(["AAA"], services=services, report=lambda *_: None)
        assert said["failed"], said

    nobody = {"yahoo_base_url": "http://127.0.0.1:9", "yahoo_timeout_seconds": 2}
    with made_up(tmp_path, outage, **nobody) as url, visiting(chromium, url, expected=NO_SUCH) as visitor:
        visitor.opens()
        row = visitor.page.locator("#rows tr").first
        row.get_by_text("degraded").wait_for()
        assert "100.00" in row.inner_text()
        row.get_by_role("link", name="AAA").click()
        visitor.sees("the price source is down, the last good bars were used")
        assert violations(visitor) == []


def test_a_version_whose_files_are_damaged_says_so_where_it_could_be_promoted(chromium: Any, tmp_path: Path) -> None:
    def damage(services: Services) -> None:
        add_version(services, alias="champion")
        add_forecast(services, "AAA", version=1)
        add_version(services)
        with services.database.write() as tx:
            versions.note_damage(tx, "AAA", 2, at=NOW)

    with made_up(tmp_path, damage) as url, visiting(chromium, url, expected=NO_SUCH) as visitor:
        visitor.opens("#/tickers/AAA")
        row = visitor.page.get_by_role("row").filter(has=visitor.page.locator("#promote-2"))
        row.get_by_text("files damaged").wait_for()
        assert visitor.page.get_by_text("files damaged").count() == 1
        assert violations(visitor) == []
