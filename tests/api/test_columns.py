from __future__ import annotations

import csv
import http.client
import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.api.columns import column_names, columns_of, to_csv
from app.api.schemas.series import ForecastColumnsOut
from app.domain.forecast import Bands
from app.domain.scorecard import Calibration
from app.forecasting.services import Services
from tests.api.conftest import Clock, serving
from tests.api.rows import NOW, SKILL, add_forecast, add_version

JSON, CSV = "application/json", "text/csv; charset=utf-8"
VARY = "Accept, Authorization"
NAMES = [
    *("ticker", "problem", "detail", "state", "reasons", "origin", "as_of_session", "issued_at", "last_close"),
    *("currency", "step", "field", "last_value", "target_session", "target_close_at", "point", "expected_return"),
    *("volatility", "prob_up", "lower_80", "upper_80", "lower_99.5", "upper_99.5"),
    *("skill", "skill_crps", "dm_p", "skill_n", "beats_baseline"),
    *("coverage_80_live", "coverage_80_live_n", "coverage_80_backtest", "coverage_80_backtest_n"),
    *("version", "alias", "architecture", "preset", "trained_through", "approximate", "next_update_at"),
]
ASKED = "/v1/forecasts?level=80,99.5&horizon=2&format="


@pytest.fixture
def two(client: TestClient, services: Services) -> TestClient:
    """A client of two tickers with a champion each, of two targets and three steps, and one with a single step."""
    wide = {"targets": [{"field": "close"}, {"field": "high"}], "horizon": 3}
    add_version(services, "^BBB", spec=wide, alias="champion")
    add_version(services, "AAA", alias="champion")
    return client


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_columns_have_one_row_a_ticker_step_and_field_and_one_a_problem(two: TestClient) -> None:
    body = two.get(ASKED + "columns").json()
    assert list(body["columns"]) == NAMES == column_names((80, 99.5))
    assert body["complete"] is False
    failed, *rows = rows_of(body["columns"])
    assert (failed.pop("ticker"), failed.pop("problem")) == ("AAA", "horizon_too_long")
    assert "1 session ahead" in failed.pop("detail")
    assert set(failed.values()) == {None}
    where = [(row["ticker"], row["field"], row["step"], row["problem"]) for row in rows]
    assert where == [("^BBB", field, step, None) for field in ("close", "high") for step in (1, 2)]
    assert ForecastColumnsOut.model_validate(body).columns == body["columns"]


def test_columns_say_what_the_items_say(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    kept = (Calibration(level=80, empirical=0.79, n=1000), Calibration(level=80, empirical=0.75, n=60, origin="live"))
    skill = replace(SKILL, crps=0.02)
    add_forecast(services, bands=Bands(kept=kept), skill=skill, currency="USD", issued_at=NOW + timedelta(seconds=1))
    item = client.get("/v1/forecasts/AAA").json()
    (row,) = rows_of(client.get("/v1/forecasts?format=columns").json()["columns"])
    (step,) = item["steps"]
    for name in ("state", "reasons", "origin", "as_of_session", "issued_at", "last_close", "currency"):
        assert row[name] == item[name]
    for name in ("step", "field", "last_value", "target_session", "point", "expected_return", "volatility", "prob_up"):
        assert row[name] == step[name]
    for band in step["intervals"]:
        assert [row[f"{end}_{band['level']}"] for end in ("lower", "upper")] == [band["lower"], band["upper"]]
    judged = [row[name] for name in ("skill", "skill_crps", "dm_p", "skill_n", "beats_baseline")]
    assert judged == [item["skill"][name] for name in ("value", "crps", "dm_p", "n", "beats_baseline")]
    assert [row[f"coverage_80_{what}"] for what in ("live", "live_n", "backtest", "backtest_n")] == [
        0.75,
        60,
        0.79,
        1000,
    ]
    assert [row[name] for name in ("version", "alias", "preset")] == [1, "champion", "default"]
    assert (row["approximate"], row["next_update_at"]) == (False, item["next_update_at"])


def test_csv_says_what_the_columns_say_with_empty_cells_for_null(two: TestClient) -> None:
    columns = two.get(ASKED + "columns").json()["columns"]
    answer = two.get(ASKED + "csv")
    assert answer.headers["content-type"] == CSV
    head, *cells = csv.reader(io.StringIO(answer.text))
    assert head == NAMES
    for line, row in zip(cells, rows_of(columns), strict=True):
        for cell, value in zip(line, row.values(), strict=True):
            if isinstance(value, bool):
                assert cell == str(value).lower()
            elif isinstance(value, float):
                assert float(cell) == value
            else:
                assert cell == ("" if value is None or value == [] else str(value))


def test_a_ticker_is_written_to_the_byte_and_only_a_sources_words_are_kept_from_being_formulas(
    two: TestClient,
) -> None:
    (item,) = two.get("/v1/forecasts?tickers=^BBB").json()["items"]
    item |= {"currency": "=1+1", "reasons": ["degraded", "source_unavailable"], "last_close": float("nan")}
    item["steps"][0]["expected_return"] = -0.5
    row, _ = csv.DictReader(io.StringIO(to_csv(columns_of([item], (80, 95))).decode()))
    assert (row["ticker"], row["currency"], row["expected_return"]) == ("^BBB", "'=1+1", "-0.5")
    assert (row["reasons"], row["last_close"]) == ("degraded source_unavailable", "")


def test_without_tickers_columns_have_names_and_no_rows(client: TestClient) -> None:
    body = client.get("/v1/forecasts?format=columns").json()
    assert (body["complete"], set(map(len, body["columns"].values()))) == (True, {0})
    assert client.get("/v1/forecasts?format=csv").text.splitlines() == [",".join(body["columns"])]


def test_all_tickers_come_in_order_page_by_page(client: TestClient, services: Services) -> None:
    for ticker in ("MSFT", "AAPL", "^GSPC", "BRK.B", "0700.HK"):
        add_version(services, ticker, alias="champion")
    whole = client.get("/v1/forecasts").json()
    assert [item["ticker"] for item in whole["items"]] == ["0700.HK", "AAPL", "BRK.B", "MSFT", "^GSPC"]
    assert "next_page_token" not in whole
    first = client.get("/v1/forecasts?page_size=3").json()
    token = first["next_page_token"]
    rest = client.get(f"/v1/forecasts?page_size=3&page_token={token}").json()
    assert first["items"] + rest["items"] == whole["items"]
    assert "next_page_token" not in rest
    columns = client.get("/v1/forecasts?page_size=3&format=columns").json()
    assert (columns["next_page_token"], columns["columns"]["ticker"]) == (token, ["0700.HK", "AAPL", "BRK.B"])
    text = client.get("/v1/forecasts?page_size=3&format=csv")
    assert text.headers["x-next-page-token"] == token
    last = client.get(f"/v1/forecasts?page_size=3&format=csv&page_token={token}")
    assert "x-next-page-token" not in last.headers
    assert len(client.get("/v1/forecasts?page_size=1000000").json()["items"]) == 5


@pytest.mark.parametrize("query", ["page_size=5", "page_token=x", "page_size=5&page_token=x"])
def test_pages_of_named_tickers_are_refused(client: TestClient, query: str) -> None:
    problem = client.get(f"/v1/forecasts?tickers=AAA&{query}").json()
    assert (problem["status"], problem["code"]) == (422, "pages_of_all")
    assert problem["errors"][0]["pointer"] in ("/query/page_size", "/query/page_token")


def test_a_token_that_nobody_gave_out_and_a_form_that_nobody_writes_are_refused(client: TestClient) -> None:
    assert client.get("/v1/forecasts?page_token=x").json()["code"] == "invalid_page_token"
    assert client.get("/v1/forecasts?format=xml").status_code == 422
    assert client.get("/v1/forecasts?page_size=0").status_code == 422


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", CSV),
        ("text/csv, */*", CSV),
        ("text/csv, */*;q=0.1", CSV),
        ("application/json;q=0.5, text/csv;q=0.6", CSV),
        ("TEXT/CSV; charset=utf-8", CSV),
        ("text/*", CSV),
        ("application/json;q=0.6, text/csv;q=0.5", JSON),
        ("application/json, text/csv", JSON),
        ("text/csv;q=0, */*", JSON),
        ("text/csv;q=high, application/json;q=0.1", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("*/*", JSON),
        ("application/xml", JSON),
        (";,", JSON),
    ],
)
def test_accept_chooses_what_it_rates_highest(two: TestClient, accept: str, kind: str) -> None:
    answer = two.get("/v1/forecasts", headers={"Accept": accept})
    assert (answer.headers["content-type"], answer.headers["vary"]) == (kind, VARY)


def test_the_query_wins_over_accept(two: TestClient) -> None:
    for form, kind in (("json", JSON), ("columns", JSON), ("csv", CSV)):
        for accept in ("text/csv", "application/json"):
            answer = two.get(f"/v1/forecasts?format={form}", headers={"Accept": accept})
            assert answer.headers["content-type"] == kind


def test_one_representation_is_never_given_for_another(services: Services) -> None:
    add_version(services, alias="champion")
    with serving(services) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        tags: dict[str, set[str]] = {JSON: set(), CSV: set()}
        for _ in range(20):  # cold, hot and with another look at the edition, as it comes
            for accept, kind, begins in (("text/csv", CSV, b"ticker,"), ("application/json", JSON, b'{"edition"')):
                other = next(iter(tags[JSON if kind == CSV else CSV]), '"none"')
                connection.request("GET", "/v1/forecasts", headers={"Accept": accept, "If-None-Match": other})
                answer = connection.getresponse()
                body = answer.read()
                assert (answer.status, answer.headers["content-type"], answer.headers["vary"]) == (200, kind, VARY)
                assert body.startswith(begins)
                tags[kind].add(answer.headers["etag"])
                connection.request(
                    "GET", "/v1/forecasts", headers={"Accept": accept, "If-None-Match": answer.headers["etag"]}
                )
                again = connection.getresponse()
                assert (again.status, again.read(), again.headers["vary"]) == (304, b"", VARY)
        connection.close()
    assert [len(some) for some in tags.values()] == [1, 1]
    assert tags[JSON].isdisjoint(tags[CSV])


@pytest.mark.parametrize("path", ["/v1/forecasts/AAA", "/v1/forecasts", "/v1/forecasts?format=csv"])
def test_a_copy_may_be_shown_for_a_minute_and_never_beyond_what_time_changes(
    client: TestClient, services: Services, clock: Clock, path: str
) -> None:
    add_version(services, alias="champion")
    closes_at = NOW.replace(day=23, hour=21)
    for left, wanted in ((3600.0, 60), (60.0, 60), (59.5, 59), (1.0, 1)):
        clock.now = closes_at - timedelta(seconds=left)
        answer = client.get(path)
        assert answer.headers["cache-control"] == f"private, max-age={wanted}, must-revalidate"
        unchanged = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (unchanged.status_code, unchanged.headers["cache-control"]) == (304, answer.headers["cache-control"])
    clock.now = closes_at - timedelta(seconds=0.5)
    assert client.get(path).headers["cache-control"] == "no-cache"


def test_who_gets_a_problem_keeps_nothing_unasked(two: TestClient) -> None:
    for query in ("tickers=AAA,NOPE", "tickers=AAA,NOPE&format=csv", "horizon=2&format=columns"):
        assert two.get(f"/v1/forecasts?{query}").headers["cache-control"] == "no-cache"
    assert two.get("/v1/forecasts/NOPE").headers["cache-control"] == "no-store"


def test_an_answer_with_a_problem_of_the_question_is_kept_in_memory_and_mended_by_an_edition(
    two: TestClient, services: Services
) -> None:
    hot = two.app.state.hot_answers  # type: ignore[attr-defined]
    for query in (
        "tickers=CCC",
        "tickers=CCC&format=columns",
        "tickers=CCC&format=csv",
    ):
        two.get(f"/v1/forecasts?{query}")
        assert hot.get(("/v1/forecasts", query.encode(), False))
    assert two.get("/v1/forecasts?tickers=CCC&format=columns").json()["columns"]["problem"] == ["no_model_yet"]
    add_version(services, "CCC", alias="champion")
    hot.look()
    assert two.get("/v1/forecasts?tickers=CCC&format=columns").json()["columns"]["problem"] == [None]


# What a forecast lacks that is read as a record all the same.
MANGLED = {
    "no calendar": {"calendar": {}},
    "a price that no number holds": {"steps": [{"location": 1e6}]},
    "too few quantiles": {"steps": [{"quantiles": [0.1, 0.2]}]},
    "no steps": {"steps": []},
}


@pytest.mark.parametrize("form", ["json", "columns", "csv"])
@pytest.mark.parametrize("mangled", MANGLED.values(), ids=MANGLED)
def test_a_mangled_forecast_is_a_problem_of_its_own_and_of_no_neighbour(
    client: TestClient, services: Services, mangled: dict[str, Any], form: str
) -> None:
    for ticker in ("AAA", "BBB", "CCC"):
        add_version(services, ticker, alias="champion")
    alone = client.get("/v1/forecasts?tickers=AAA,CCC").json()["items"]
    with services.database.write() as tx:
        body = json.loads(tx.execute(text("SELECT body FROM forecasts WHERE ticker = 'BBB'")).scalar_one())
        steps = [{**body["steps"][0], **step} for step in mangled.get("steps", body["steps"])]
        changed = json.dumps({**body, **mangled, "steps": steps})
        tx.execute(text("UPDATE forecasts SET body = :body WHERE ticker = 'BBB'"), {"body": changed})
    answer = client.get(f"/v1/forecasts?tickers=AAA,BBB,CCC&format={form}")
    assert answer.status_code == 200
    if form == "json":
        first, problem, last = answer.json()["items"]
        assert [first, last] == alone
        assert (problem["problem"]["code"], problem["problem"]["status"]) == ("corrupt_record", 500)
        assert answer.json()["complete"] is False
    elif form == "columns":
        assert answer.json()["columns"]["problem"] == [None, "corrupt_record", None]
    else:
        assert "\nBBB,corrupt_record," in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    hot = client.app.state.hot_answers  # type: ignore[attr-defined]
    assert not hot.get(("/v1/forecasts", f"tickers=AAA,BBB,CCC&format={form}".encode(), False))
    refused = client.get("/v1/forecasts/BBB")
    assert (refused.status_code, refused.json()["code"]) == (500, "corrupt_record")
