"""What time alone does to a page: what was fresh is stale, what was ahead is past, what was whole is damaged."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from app.domain.history import Action, PriceHistory
from app.forecasting.market_data import keep
from app.forecasting.services import Services
from app.jobs import leases
from app.jobs.submission import submit
from app.prices.csv_text import read_bars
from tests.api.conftest import Clock, serving
from tests.api.rows import AS_OF, NOW, add_version, csv_of
from tests.browser.conftest import Visitor, visiting

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NO_BARS = ("404 (Not Found)",)  # these registries are made up, and hold none
MONDAY = date(2026, 11, 23)
DAMAGED, AWAY = ("500 (Internal",), ("503 (Service",)


def bars_until(day: date) -> PriceHistory:
    history, _ = read_bars(csv_of(300, last=day).encode(), ticker="AAA")
    return replace(history, source="files")


def split_on(day: date, history: PriceHistory) -> PriceHistory:
    """The same after a split of two for one, as it is quoted from then on."""
    bars = replace(history.bars, **{name: history.bars.column(name) / 2 for name in ("open", "high", "low", "close")})
    return replace(history, bars=bars, actions=(Action(session=day, kind="split", value=2.0),))


def drawn_ahead(visitor: Visitor) -> list[dict[str, Any]]:
    """What the first chart shows as ahead, once it is drawn."""
    chart = visitor.page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    chart.locator(".main-svg").first.wait_for()
    traces: list[dict[str, Any]] = chart.evaluate("(it) => it.data.map(({name, x, y}) => ({name, x, y}))")
    return [trace for trace in traces if trace["name"] == "next"]


def caption(visitor: Visitor) -> str:
    said: str = visitor.page.locator("figcaption").first.inner_text()
    return said


def price(value: float) -> str:
    return f"{value:,.2f}"


def test_a_page_that_is_left_open_sees_the_session_close(chromium: Any, services: Services, clock: Clock) -> None:
    add_version(services, alias="champion")
    with serving(services) as url, visiting(chromium, url) as visitor:
        visitor.page.clock.install()
        visitor.opens()
        visitor.page.locator("#rows .state.fresh").wait_for()
        clock.now += timedelta(days=3)
        visitor.page.clock.fast_forward(65_000)
        visitor.page.locator("#rows .state.stale").wait_for()


def test_the_fan_opens_at_the_close_that_the_forecast_saw_on_the_scale_of_the_bars(
    chromium: Any, services: Services, clock: Clock
) -> None:
    add_version(services, spec={"horizon": 3}, alias="champion")  # whose forecast saw a close of 100
    clock.now += timedelta(days=3)
    keep(split_on(MONDAY, bars_until(MONDAY)), services=services, now=clock.now)
    with serving(services) as url, visiting(chromium, url) as visitor:
        visitor.opens("#/tickers/AAA")
        (ahead,) = drawn_ahead(visitor)
        visitor.page.get_by_role("heading", name="The close of a session that is over").wait_for()
        following = price(ahead["y"][2])
        assert f"and the next close at {following}, 80 % between" in caption(visitor)
    assert ahead["x"][0] == AS_OF.isoformat() and ahead["x"] == sorted(ahead["x"])
    assert ahead["y"][:2] == pytest.approx([50.0, 50.0 * math.exp(0.0005)], rel=1e-4)


def test_a_forecast_whose_sessions_are_over_is_not_drawn_as_ahead(
    chromium: Any, services: Services, clock: Clock
) -> None:
    add_version(services, alias="champion")
    clock.now += timedelta(days=3)
    keep(bars_until(MONDAY), services=services, now=clock.now)
    with serving(services) as url, visiting(chromium, url) as visitor:
        visitor.opens("#/tickers/AAA")
        assert drawn_ahead(visitor) == []
        assert f"nothing is ahead, the newest forecast was of {MONDAY}." in caption(visitor)
        visitor.page.get_by_role("heading", name="The close of a session that is over").wait_for()


def test_damaged_proof_takes_neither_the_forecast_away_nor_the_way_to_another_version(
    chromium: Any, services: Services
) -> None:
    add_version(services)
    broken = add_version(services, alias="champion")
    services.artifacts.path(broken.location, "predictions.json").write_bytes(b"torn")
    with serving(services) as url, visiting(chromium, url, expected=(*NO_BARS, *DAMAGED)) as visitor:
        visitor.opens("#/tickers/AAA")
        visitor.page.get_by_role("heading", name="Next close").wait_for()
        visitor.page.locator(".card", has_text="Calibration").get_by_text("predictions.json").wait_for()
        assert visitor.page.get_by_role("button", name="Promote 1").is_enabled()


def test_a_cancel_that_nobody_took_can_be_tried_again(chromium: Any, services: Services) -> None:
    with services.database.write() as tx:
        job, _ = submit(tx, kind="train", ticker="AAA", payload={}, dedupe="AAA", now=NOW)
    with serving(services) as url, visiting(chromium, url, expected=AWAY) as visitor:
        visitor.opens(f"#/jobs/{job.job_id}")
        visitor.page.route("**/cancel", lambda route: route.fulfill(status=503, json={"detail": "It is away."}))
        visitor.page.get_by_role("button", name="Cancel train AAA").click()
        visitor.page.get_by_role("button", name="Cancel the job").click()
        visitor.page.get_by_text("It is away.").wait_for()
        visitor.page.unroute("**/cancel")
        visitor.page.locator("dialog").get_by_role("button").click()
        visitor.page.get_by_role("button", name="Cancel train AAA").click()
        visitor.page.get_by_role("button", name="Cancel the job").click()
        visitor.page.locator(".state.cancelled").wait_for()


def test_a_new_job_takes_the_focus_away_from_nobody(chromium: Any, services: Services) -> None:
    with services.database.write() as tx:
        submit(tx, kind="train", ticker="AAA", payload={}, dedupe="AAA", now=NOW)
    with serving(services) as url, visiting(chromium, url) as visitor:
        visitor.opens("#/jobs")
        visitor.page.get_by_role("button", name="Cancel train AAA").focus()
        with services.database.write() as tx:
            submit(tx, kind="train", ticker="BBB", payload={}, dedupe="BBB", now=NOW + timedelta(seconds=1))
        visitor.page.locator("#view tr", has_text="train BBB").wait_for()
        assert visitor.page.evaluate("document.activeElement.ariaLabel") == "Cancel train AAA"


def test_news_of_a_job_that_is_older_than_those_shown_reads_nothing_anew(chromium: Any, services: Services) -> None:
    with services.database.write() as tx:
        submit(tx, kind="train", ticker="OLD", payload={}, dedupe="OLD", now=NOW)
        old = leases.claim(tx, owner="w", lease_seconds=600, now=NOW)
        assert old is not None
        for n in range(55):
            submit(tx, kind="train", ticker=f"T{n}", payload={}, dedupe=str(n), now=NOW + timedelta(seconds=1 + n))
    with serving(services) as url, visiting(chromium, url) as visitor:
        visitor.opens("#/jobs")
        visitor.page.locator("#view tr", has_text="train T54").wait_for()
        heard: list[str] = []
        visitor.page.on("request", lambda asked: heard.append(asked.url))
        with services.database.write() as tx:
            assert leases.report(tx, old.job_id, old.fence, {"stage": "fit", "fraction": 0.4})
        visitor.page.wait_for_timeout(1500)  # until it was told, and news that concern the view would have been read
        with services.database.write() as tx:
            submit(tx, kind="train", ticker="NEW", payload={}, dedupe="NEW", now=NOW + timedelta(hours=1))
        visitor.page.locator("#view tr", has_text="train NEW").wait_for()
        assert len([url for url in heard if "/v1/jobs?" in url]) == 1
