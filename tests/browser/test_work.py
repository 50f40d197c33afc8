"""What people do on the page: train, watch, cancel, promote, roll back, compare, sort, and wait out an absence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.errors import SourceUnavailable
from app.forecasting.services import Services
from app.jobs import leases
from app.jobs.submission import submit
from app.registry import aliases
from tests.api.conftest import serving
from tests.api.keyed import make_key, revoke_key
from tests.api.rows import NOW, add_forecast, add_version
from tests.browser.conftest import Visitor, visiting
from tests.e2e.service import Service, running

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NO_BARS = ("404 (Not Found)",)  # these registries are made up, and hold none
REFUSED = ("422 (Unprocessable",)
AWAY = ("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE_CHUNKED", "ERR_CONNECTION_RESET")


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """``morrow serve`` as somebody has just started it, with a worker."""
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    with running(tmp_path_factory.mktemp("working"), MORROW_SOURCE="sample", MORROW_WORKERS="1") as service:
        yield service


def fill_in(visitor: Visitor, **fields: str) -> None:
    """Type into the fields of the training form, opening what is folded."""
    visitor.page.locator("details:not([open]) summary").click()
    for label, text in fields.items():
        visitor.page.get_by_label(label.replace("_", " "), exact=True).fill(text)


def test_from_an_empty_page_through_a_training_to_the_new_forecast(chromium: Any, working: Service) -> None:
    with visiting(chromium, working.url) as visitor:
        visitor.opens()
        visitor.page.get_by_role("link", name="Train the first model").click()
        visitor.page.get_by_role("heading", name="Train").wait_for()
        fill_in(visitor, Epochs="2", Units="4")
        visitor.page.get_by_role("button", name="Submit").click()
        visitor.page.get_by_role("heading", name="train ^GSPC").wait_for()
        visitor.page.locator("progress").wait_for()
        visitor.page.get_by_role("heading", name="What came of it").wait_for(timeout=180_000)
        visitor.page.get_by_role("link", name="See what it forecasts").click()
        visitor.page.get_by_role("heading", name="Next close").wait_for()
        visitor.page.get_by_role("link", name="Overview").click()
        row = visitor.page.locator("#rows tr").first
        row.get_by_text("^GSPC").wait_for()
        assert "stale" in row.inner_text()  # the sample ends years ago
        spec = working.ask("/v1/models/%5EGSPC/versions/1")[1]["spec"]
        assert (spec["epochs"], spec["units"]) == (2, [4])


def test_a_job_is_watched_and_cancelled_and_says_so(chromium: Any, working: Service) -> None:
    with visiting(chromium, working.url) as visitor:
        visitor.opens("#/train?ticker=^IXIC&source=sample")
        fill_in(visitor, Epochs="900", Window="200")
        visitor.page.get_by_role("button", name="Submit").click()
        visitor.page.get_by_role("button", name="Cancel train ^IXIC").click()
        visitor.page.get_by_role("button", name="Cancel the job").click()
        visitor.page.locator(".state.cancelled").wait_for(timeout=90_000)
        visitor.page.get_by_role("link", name="All jobs").click()
        visitor.page.locator("#view tr", has_text="^IXIC").locator(".state.cancelled").wait_for()


def test_what_is_wrong_with_an_order_stands_at_its_fields(chromium: Any, empty: Service) -> None:
    with visiting(chromium, empty.url, expected=REFUSED) as visitor:
        visitor.opens("#/train?ticker=bad ticker")
        fill_in(visitor, Window="1", Units="8, many", Epochs="0")
        visitor.page.get_by_role("button", name="Submit").click()
        ticker = visitor.page.get_by_label("Ticker", exact=True)
        visitor.page.locator("#view input[aria-invalid]").first.wait_for()
        assert ticker.evaluate("it => it === document.activeElement")
        wrong = {
            label: visitor.page.get_by_label(label, exact=True) for label in ("Ticker", "Window", "Units", "Epochs")
        }
        told = {label: wrong_at(field) for label, field in wrong.items()}
        assert "1 to 15 characters" in told["Ticker"]
        assert "greater than or equal to 2" in told["Window"]
        assert "integer" in told["Units"] and "greater than or equal to 1" in told["Epochs"]
        assert wrong_at(visitor.page.get_by_label("Batch", exact=True)) == ""


def wrong_at(field: Any) -> str:
    described = field.get_attribute("aria-describedby").split()[-1]
    return str(field.page.locator(f"[id='{described}']").inner_text())


def test_what_no_field_stands_for_is_told_above_them_all(chromium: Any, empty: Service) -> None:
    with visiting(chromium, empty.url, expected=REFUSED) as visitor:
        visitor.opens("#/train?ticker=^GSPC&source=sample")
        fill_in(visitor, Anything_else_of_the_spec='{"colour": "green"}')
        visitor.page.get_by_role("button", name="Submit").click()
        field = visitor.page.get_by_label("Anything else of the spec", exact=True)
        visitor.page.locator("#view input[aria-invalid]").first.wait_for()
        assert "no field 'colour'" in wrong_at(field)
        field.fill("{not json")
        visitor.page.get_by_role("button", name="Submit").click()
        visitor.page.get_by_text("This is no JSON object").wait_for()


@pytest.fixture
def two_versions(services: Services) -> Iterator[str]:
    """A served registry whose ticker AAA has two versions, the first of which is champion."""
    add_version(services, "AAA", alias="champion")
    add_version(services, "AAA")
    with serving(services) as url:
        yield url


def champion_of(services: Services) -> int | None:
    with services.database.read() as tx:
        return aliases.current(tx, "AAA", "champion")


def test_a_version_is_promoted_with_a_reason_and_rolled_back(
    chromium: Any, two_versions: str, services: Services
) -> None:
    with visiting(chromium, two_versions, expected=NO_BARS) as visitor:
        visitor.opens("#/tickers/AAA")
        visitor.page.get_by_role("button", name="Promote 2").click()
        visitor.page.get_by_role("button", name="Leave it").click()
        assert champion_of(services) == 1
        visitor.page.get_by_role("button", name="Promote 2").click()
        visitor.page.get_by_label("Why").fill("it looks better")
        visitor.page.get_by_role("button", name="Promote", exact=True).click()
        visitor.page.get_by_role("button", name="Promote 1").wait_for()
        assert champion_of(services) == 2
        with services.database.read() as tx:
            assert aliases.history(tx, "AAA", "champion")[0].reason == "it looks better"
        visitor.page.get_by_role("button", name="Roll the champion back").click()
        visitor.page.get_by_role("button", name="Roll back", exact=True).click()
        visitor.page.get_by_role("button", name="Promote 2").wait_for()
        assert champion_of(services) == 1


def test_a_published_edition_reaches_an_open_page_by_itself(
    chromium: Any, two_versions: str, services: Services
) -> None:
    with visiting(chromium, two_versions) as visitor:
        visitor.opens()
        visitor.page.locator("#rows").get_by_text("v1").wait_for()
        with services.database.write() as tx:
            aliases.point(tx, "AAA", "champion", 2, by="test", reason="", now=NOW)
        visitor.page.locator("#rows").get_by_text("v2").wait_for()


def test_what_happens_does_not_take_the_readers_place_away(
    chromium: Any, two_versions: str, services: Services
) -> None:
    with services.database.write() as tx:
        submit(tx, kind="train", ticker="AAA", payload={}, dedupe="AAA", now=NOW)
    with visiting(chromium, two_versions, expected=NO_BARS) as visitor:
        visitor.opens()
        visitor.page.locator("#rows").get_by_role("link", name="AAA").click()
        visitor.page.get_by_role("button", name="Promote 2").focus()
        with services.database.write() as tx:
            aliases.point(tx, "AAA", "trial", 2, by="test", reason="", now=NOW)
        visitor.page.locator("#view td", has_text="trial").wait_for()
        assert visitor.page.evaluate("document.activeElement.textContent") == "Promote 2"

        visitor.page.get_by_role("link", name="Jobs").click()
        visitor.page.locator("#only-ticker").press_sequentially("AA")
        with services.database.write() as tx:
            held = leases.claim(tx, owner="w", lease_seconds=600, now=NOW)
            assert held and leases.report(tx, held.job_id, held.fence, {"stage": "fit", "fraction": 0.4})
        visitor.page.locator("#view tr", has_text="train AAA").get_by_text("fit").wait_for()
        assert visitor.page.evaluate("document.activeElement.id") == "only-ticker"

        visitor.page.get_by_role("link", name="train AAA").click()
        cancel = visitor.page.get_by_role("button", name="Cancel train AAA")
        visitor.page.wait_for_function("() => document.activeElement.tagName === 'H1'")  # as whoever came by a link
        cancel.focus()
        with services.database.write() as tx:
            assert leases.report(tx, held.job_id, held.fence, {"stage": "export", "fraction": 0.0})
        visitor.page.locator(".job-line").get_by_text("export").wait_for()
        assert visitor.page.evaluate("document.activeElement.textContent") == "Cancel"


def test_a_version_of_another_field_says_which_and_shows_all_its_steps(chromium: Any, services: Services) -> None:
    spec = {"targets": [{"field": "high"}], "strategy": "recursive", "horizon": 251}
    add_version(services, "IBM", preset="ibm-lstm-gru+", spec=spec)
    with serving(services) as url, visiting(chromium, url, expected=NO_BARS) as visitor:
        visitor.opens("#/tickers/IBM?model=1")
        visitor.page.get_by_role("heading", name="Next high").wait_for()
        visitor.page.get_by_text("All 251 steps").click()
        assert visitor.page.locator("details[open] tbody tr").count() == 251


def test_a_chart_whose_script_is_missing_says_so(chromium: Any, two_versions: str) -> None:
    with visiting(chromium, two_versions, expected=("ERR_FAILED", "plotly.min.js", *NO_BARS)) as visitor:
        visitor.page.route("**/plotly.min.js", lambda route: route.abort())
        visitor.opens("#/tickers/AAA")
        visitor.page.locator(".chart").first.scroll_into_view_if_needed()
        visitor.page.get_by_text("The chart could not be drawn").first.wait_for()


def test_a_number_that_is_none_is_refused_and_nothing_is_sent(chromium: Any, empty: Service) -> None:
    with visiting(chromium, empty.url) as visitor:
        visitor.opens("#/train?ticker=^GSPC&source=sample")
        visitor.page.on(
            "request",
            lambda asked: visitor.complaints.append(f"sent: {asked.method}") if asked.method == "POST" else None,
        )
        visitor.page.locator("details:not([open]) summary").click()
        visitor.page.get_by_label("Epochs", exact=True).press_sequentially("2e")
        visitor.page.get_by_role("button", name="Submit").click()
        assert wrong_at(visitor.page.get_by_label("Epochs", exact=True)) == "This is not readable."


def test_an_address_that_cannot_be_read_and_a_job_that_is_not_there_lead_back(chromium: Any, empty: Service) -> None:
    with visiting(
        chromium, empty.url, expected=("404 (Not Found)", "400 (Bad Request)", "422 (Unprocessable")
    ) as visitor:
        for view in ("#/tickers/%", "#/jobs/doesnotexist"):
            visitor.opens(view)
            visitor.page.locator("#view").get_by_role("link").first.wait_for()
        visitor.page.get_by_role("heading", name="This view could not be loaded").wait_for()
        visitor.page.locator("#trouble").get_by_text("doesnotexist").wait_for()


def test_a_job_whose_first_attempt_failed_says_why_and_that_it_waits_for_the_next(
    chromium: Any, services: Services
) -> None:
    with services.database.write() as tx:
        submit(tx, kind="train", ticker="AAA", payload={}, dedupe="AAA", now=NOW)
        job = leases.claim(tx, owner="w", lease_seconds=30, now=NOW)
        assert job is not None
        assert leases.fail(tx, job.job_id, job.fence, SourceUnavailable("It was down."), now=NOW) == "queued"
    with serving(services) as url, visiting(chromium, url) as visitor:
        visitor.opens("#/jobs")
        visitor.page.get_by_text("waits for its next attempt; attempt 1 ended: It was down").wait_for()


def test_without_the_stream_the_page_polls(chromium: Any, two_versions: str, services: Services) -> None:
    with visiting(chromium, two_versions, expected=("ERR_FAILED",)) as visitor:
        visitor.page.route("**/v1/events", lambda route: route.abort())
        visitor.opens()
        visitor.page.locator("#rows").get_by_text("v1").wait_for()
        with services.database.write() as tx:
            aliases.point(tx, "AAA", "champion", 2, by="test", reason="", now=NOW)
        visitor.page.locator("#rows").get_by_text("v2").wait_for(timeout=30_000)


def test_a_service_that_is_away_is_told_of_and_found_again(chromium: Any, tmp_path: Path) -> None:
    with ExitStack() as service:
        url = service.enter_context(running(tmp_path, "api", MORROW_SOURCE="sample")).url
        with visiting(chromium, url, expected=AWAY) as visitor:
            visitor.opens()
            visitor.sees("Nothing is forecast yet")
            service.close()
            visitor.page.get_by_role("link", name="Jobs").click()
            visitor.page.get_by_text("The service does not answer").wait_for()
            service.enter_context(running(tmp_path, "api", MORROW_SOURCE="sample", MORROW_PORT=url.split(":")[-1]))
            visitor.page.get_by_role("heading", name="Jobs").wait_for(timeout=60_000)
            visitor.page.get_by_text("The service does not answer").wait_for(state="hidden")


def test_tickers_are_found_filtered_and_sorted_by_keyboard(chromium: Any, services: Services) -> None:
    add_version(services, "MSFT", alias="champion")
    add_version(services, "AAA")
    add_forecast(services, "AAA", version=None, architecture="ewma_t", preset=None, trained_through=None)
    with serving(services) as url, visiting(chromium, url) as visitor:
        visitor.opens()
        page, rows = visitor.page, visitor.page.locator("#rows tr th")
        rows.first.wait_for()
        assert rows.all_inner_texts() == ["AAA", "MSFT"]
        heading = page.get_by_role("columnheader", name=re.compile("Ticker"))
        heading.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "descending"
        assert rows.all_inner_texts() == ["MSFT", "AAA"]
        page.locator("#state").select_option("baseline")
        assert rows.all_inner_texts() == ["AAA"]
        page.locator("#state").select_option("")
        page.get_by_label("Find").fill("ms")
        assert rows.all_inner_texts() == ["MSFT"]
        page.get_by_label("Find").fill("zzz")
        page.get_by_role("button", name="Show all").click()
        assert rows.count() == 2


def test_who_goes_back_finds_the_row_again(chromium: Any, services: Services) -> None:
    for number in range(120):
        add_version(services, f"T{number:03}")
    with serving(services) as url, visiting(chromium, url, expected=NO_BARS) as visitor:
        visitor.opens()
        last = visitor.page.get_by_role("link", name="T119")
        last.scroll_into_view_if_needed()
        visitor.page.wait_for_function("() => history.state?.y > 0")
        last.click()
        visitor.page.get_by_role("heading", name="T119").wait_for()
        visitor.page.go_back()
        last.wait_for()
        assert visitor.page.evaluate("scrollY") > 1000


def test_a_press_on_a_correlation_adds_a_peer_to_a_training(chromium: Any, trained: Service) -> None:
    with visiting(chromium, trained.url) as visitor:
        visitor.opens("#/peers")
        visitor.page.get_by_label("Ticker", exact=True).fill("alfa")
        visitor.page.get_by_label("Candidates").fill("BETA, GAMA")
        visitor.page.get_by_role("button", name="Compare").click()
        row = visitor.page.locator(".heat-map tbody tr", has=visitor.page.get_by_role("rowheader", name="ALFA"))
        row.locator("td.pressed").first.click()  # GAMA, who is nearer
        beta = visitor.page.get_by_role("button", name="BETA", exact=True)
        beta.press("Space")
        assert visitor.page.evaluate("document.activeElement.textContent") == "BETA"
        assert beta.get_attribute("aria-pressed") == "true"
        visitor.page.get_by_role("link", name="Train ALFA with GAMA, BETA").click()
        visitor.page.get_by_role("heading", name="Train").wait_for()
        assert visitor.page.get_by_label("Peers", exact=True).input_value() == "GAMA,BETA"
        with visitor.page.expect_request("**/v1/train") as asked:
            visitor.page.get_by_role("button", name="Submit").click()
        order = json.loads(asked.value.post_data)
        assert order["ticker"] == "ALFA" and order["spec"]["peers"] == ["GAMA", "BETA"]
        visitor.page.get_by_role("button", name=re.compile("Cancel train")).click()
        visitor.page.get_by_role("button", name="Cancel the job").click()
        visitor.page.locator(".state.cancelled").wait_for(timeout=90_000)


def test_a_service_with_keys_asks_for_one_and_the_page_goes_on_with_it(chromium: Any, services: Services) -> None:
    add_version(services, "AAA", alias="champion")
    add_version(services, "AAA")
    key_id, headers = make_key(services)
    token = headers["Authorization"].removeprefix("Bearer ")
    with serving(services) as url, visiting(chromium, url, expected=("401 (Unauthorized)", *NO_BARS)) as visitor:
        page, asked = visitor.page, []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.get_by_label("Key", exact=True).fill("mrw_wrong")
        page.get_by_role("button", name="Use it").click()
        page.get_by_text("opens nothing here").wait_for()
        page.get_by_label("Key", exact=True).fill(token)
        with page.expect_response("**/v1/events") as stream:
            page.get_by_role("button", name="Use it").click()
        assert stream.value.status == 200
        page.locator("#rows").get_by_text("v1").wait_for()
        with services.database.write() as tx:
            aliases.point(tx, "AAA", "champion", 2, by="test", reason="", now=NOW)
        page.locator("#rows").get_by_text("v2").wait_for()
        with page.expect_download() as saved:
            page.get_by_role("link", name="Metrics").click()
        assert "morrow_build_info" in saved.value.path().read_text()
        assert not [address for address in asked if "mrw_" in address]
        revoke_key(services, key_id)
        page.get_by_role("link", name="Jobs").click()
        page.get_by_text("opens nothing here").wait_for(timeout=20_000)
        page.get_by_role("button", name="Leave it").click()
        page.locator("#trouble").get_by_text("revoked").wait_for()


def test_who_gives_a_key_later_hears_of_news_at_once(chromium: Any, services: Services) -> None:
    _, headers = make_key(services)
    with serving(services) as url, visiting(chromium, url, expected=("401 (Unauthorized)",)) as visitor:
        page = visitor.page
        with page.expect_response("**/v1/events") as stream:
            page.goto(url)
            page.get_by_role("button", name="Leave it").click()
        assert stream.value.status == 401
        page.get_by_role("link", name="Jobs").click()
        page.get_by_label("Key", exact=True).fill(headers["Authorization"].removeprefix("Bearer "))
        with page.expect_response("**/v1/events") as stream:
            page.get_by_role("button", name="Use it").click()
        assert stream.value.status == 200
        with services.database.write() as tx:
            submit(tx, kind="train", ticker="AAA", payload={}, dedupe="AAA", now=NOW)
        page.locator("#view tr", has_text="train AAA").wait_for()


def test_a_refusal_that_comes_after_the_key_was_typed_asks_for_no_other(chromium: Any, services: Services) -> None:
    add_version(services, "AAA", alias="champion")
    _, headers = make_key(services)
    with serving(services) as url, visiting(chromium, url, expected=("401 (Unauthorized)", *NO_BARS)) as visitor:
        page, held = visitor.page, []
        page.route("**/series*", lambda route: route.continue_() if held else held.append(route))
        page.goto(f"{url}/#/tickers/AAA")
        page.get_by_label("Key", exact=True).fill(headers["Authorization"].removeprefix("Bearer "))
        with page.expect_response(lambda answer: answer.url.endswith("/v1/models/AAA") and answer.ok):
            page.get_by_role("button", name="Use it").click()
        with page.expect_response("**/series*") as late:
            held[0].continue_()
        assert late.value.status == 401
        page.get_by_role("heading", name="Next close").wait_for()
        assert page.locator("dialog").count() == 0
