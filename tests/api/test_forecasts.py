from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.schemas.forecasts import ForecastOut, IssuedOut
from app.domain.forecast import Bands
from app.domain.scorecard import Calibration
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.jobs import leases
from app.registry import aliases
from tests.api.conftest import Clock
from tests.api.rows import AS_OF, NOW, PROVENANCE, add_forecast, add_version, csv_of, network_of

FIELDS = {
    *(
        "forecast_id",
        "edition",
        "ticker",
        "currency",
        "target",
        "targets",
        "state",
        "reasons",
        "origin",
        "as_of_session",
    ),
    *(
        "issued_at",
        "last_close",
        "steps",
        "skill",
        "calibration",
        "diagnostics",
        "model",
        "provenance",
        "calendar",
        "next_update_at",
    ),
}
STEP_FIELDS = {
    *(
        "step",
        "field",
        "last_value",
        "target_session",
        "target_close_at",
        "point",
        "expected_return",
        "volatility",
        "prob_up",
    ),
    *("quantiles", "intervals"),
}


def test_the_latest_forecast_of_the_champion_has_every_field(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    response = client.get("/v1/forecasts/aaa")
    body = response.json()
    assert response.status_code == 200
    assert set(body) >= FIELDS and set(body["steps"][0]) >= STEP_FIELDS
    assert (body["ticker"], body["state"], body["reasons"]) == ("AAA", "fresh", [])
    assert body["model"] == {
        "version": 1,
        "alias": "champion",
        "architecture": "gru",
        "preset": "default",
        "trained_through": "2026-11-20",
    }
    step = body["steps"][0]
    assert list(step["quantiles"]) == ["0.025", "0.1", "0.5", "0.9", "0.975"]
    assert [interval["level"] for interval in step["intervals"]] == [80, 95]
    assert step["quantiles"]["0.5"] == step["point"]
    assert step["target_close_at"] == "2026-11-23T21:00:00Z"


def test_levels_horizon_and_model_are_chosen(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    add_version(services, spec={"horizon": 3})
    body = client.get("/v1/forecasts/AAA?model=2&horizon=2&level=50,99.5").json()
    assert [step["step"] for step in body["steps"]] == [1, 2]
    assert [interval["level"] for interval in body["steps"][1]["intervals"]] == [50, 99.5]
    assert body["model"]["version"] == 2


def test_a_horizon_beyond_the_version_is_refused_with_the_numbers(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    problem = client.get("/v1/forecasts/AAA?horizon=2").json()
    assert (problem["status"], problem["code"], problem["have"], problem["need"]) == (422, "horizon_too_long", 1, 2)


def test_each_target_has_its_own_steps_from_its_own_last_value(client: TestClient, services: Services) -> None:
    add_version(services, spec={"targets": [{"field": "close"}, {"field": "high"}], "horizon": 3}, alias="champion")
    add_forecast(services, values={"close": 100.0, "high": 110.0}, horizon=3)
    body = client.get("/v1/forecasts/AAA?horizon=2").json()
    assert ForecastOut.model_validate(body).model_dump(mode="json") == body
    assert [target["field"] for target in body["targets"]] == ["close", "high"]
    assert body["target"] == body["targets"][0]
    steps = [(step["field"], step["step"], step["last_value"]) for step in body["steps"]]
    assert steps == [("close", 1, 100.0), ("close", 2, 100.0), ("high", 1, 110.0), ("high", 2, 110.0)]
    close, high = body["steps"][1], body["steps"][3]
    assert high["expected_return"] == pytest.approx(close["expected_return"])
    assert high["point"] == pytest.approx(110.0 * (1 + high["expected_return"])) == pytest.approx(1.1 * close["point"])
    assert high["intervals"][0]["lower"] == pytest.approx(1.1 * close["intervals"][0]["lower"])
    too_long = client.get("/v1/forecasts/AAA?horizon=4").json()
    assert (too_long["code"], too_long["have"], too_long["need"]) == ("horizon_too_long", 3, 4)


def test_a_year_of_steps_is_told_where_it_is_forecast(client: TestClient, services: Services) -> None:
    add_version(services, preset="ibm-sequence", alias="high")
    body = client.get("/v1/forecasts/AAA?model=1&horizon=251").json()
    assert [step["step"] for step in body["steps"]] == list(range(1, 252))
    assert body["model"]["preset"] == "ibm-sequence"
    assert len(client.get("/v1/forecasts?tickers=AAA&model=high&horizon=251").json()["items"][0]["steps"]) == 251
    own = {"ticker": "AAA", "model": "high", "bars": bars(300), "horizon": 366}
    for beyond in (
        client.get("/v1/forecasts/AAA?model=1&horizon=366"),
        client.post("/v1/forecasts", json=own),
    ):
        assert (beyond.status_code, beyond.json()["code"], beyond.json()["have"]) == (422, "horizon_too_long", 251)
    assert client.get("/v1/forecasts?tickers=AAA&horizon=367").status_code == 422
    assert client.post("/v1/forecasts", json=own | {"horizon": 367}).json()["errors"][0]["pointer"] == "/horizon"


def test_an_ensemble_is_named_by_its_networks(client: TestClient, services: Services) -> None:
    add_version(services, preset="ibm-lstm-gru+")
    assert client.get("/v1/forecasts/AAA?model=1").json()["model"]["architecture"] == "lstm+gru"


@pytest.mark.parametrize(
    "query", ["level=0", "level=100", "level=80,", "level=x", "horizon=0", "horizon=367", "model=Champion", "model=0"]
)
def test_parameters_out_of_range_are_refused(client: TestClient, services: Services, query: str) -> None:
    add_version(services, alias="champion")
    problem = client.get(f"/v1/forecasts/AAA?{query}").json()
    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert problem["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


@pytest.mark.parametrize(
    ("path", "code"),
    [("NOPE", "no_model_yet"), ("AAA?model=9", "no_such_version"), ("AAA?model=canary", "no_such_alias")],
)
def test_what_is_not_there_is_404(client: TestClient, services: Services, path: str, code: str) -> None:
    add_version(services, alias="champion")
    response = client.get(f"/v1/forecasts/{path}")
    assert (response.status_code, response.json()["code"]) == (404, code)


def test_without_a_champion_the_baseline_answers_and_says_so(client: TestClient, services: Services) -> None:
    add_version(services)
    add_forecast(services, version=None, architecture="ewma_t", preset=None, trained_through=None)
    body = client.get("/v1/forecasts/AAA").json()
    assert (body["state"], body["reasons"]) == ("baseline", ["baseline"])
    assert (body["model"]["version"], body["model"]["alias"], body["model"]["architecture"]) == (None, None, "ewma_t")


@pytest.mark.parametrize("path", ["/v1/forecasts/AAA", "/v1/forecasts?tickers=AAA"])
def test_an_answer_in_memory_grows_stale_when_the_session_closes(
    client: TestClient, services: Services, clock: Clock, path: str
) -> None:
    add_version(services, alias="champion")
    fresh = client.get(path)
    clock.now = datetime(2026, 11, 23, 20, 59, tzinfo=UTC)
    assert client.get(path).content == fresh.content
    assert '"state":"fresh"' in fresh.text
    clock.now = datetime(2026, 11, 23, 21, 1, tzinfo=UTC)
    stale = client.get(path)
    assert '"state":"stale"' in stale.text
    assert stale.headers["etag"] != fresh.headers["etag"]


def test_an_alias_changed_here_is_seen_at_once(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    add_version(services)
    assert client.get("/v1/forecasts/AAA").json()["model"]["version"] == 1
    etag = client.get("/v1/models/AAA/aliases/champion").headers["etag"]
    client.put("/v1/models/AAA/aliases/champion", json={"version": 2}, headers={"If-Match": etag})
    assert client.get("/v1/forecasts/AAA").json()["model"]["version"] == 2


@pytest.mark.parametrize("path", ["/v1/jobs/{job_id}", "/v1/jobs?ticker=AAA"])
def test_what_a_finished_job_did_is_seen_once_the_job_was_shown(
    client: TestClient, services: Services, clock: Clock, path: str
) -> None:
    add_version(services, alias="champion")
    job_id = client.post("/v1/train", json={"ticker": "AAA"}).json()["job_id"]
    assert client.get("/v1/forecasts/AAA").json()["model"]["version"] == 1
    add_version(services, alias="champion")
    with services.database.write() as tx:
        job = leases.claim(tx, owner="w", lease_seconds=30, now=clock.now)
        assert job
        leases.succeed(tx, job_id, job.fence, {"version": 2}, now=clock.now)
    assert '"state":"succeeded"' in client.get(path.format(job_id=job_id)).text
    assert client.get("/v1/forecasts/AAA").json()["model"]["version"] == 2


def test_a_refusal_is_not_remembered(client: TestClient, services: Services) -> None:
    assert client.get("/v1/forecasts/AAA").status_code == 404
    add_version(services, alias="champion")
    client.app.state.hot_answers.look()  # type: ignore[attr-defined]
    assert client.get("/v1/forecasts/AAA").status_code == 200


def test_many_tickers_answer_at_once_and_each_says_why_not(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    body = client.get("/v1/forecasts?tickers=aaa,NOPE,AAA").json()
    assert body["complete"] is False
    assert body["items"][0]["ticker"] == "AAA"
    assert body["next_update_at"] == body["items"][0]["next_update_at"]
    missing = body["items"][1]
    assert (missing["ticker"], missing["problem"]["code"], missing["problem"]["status"]) == (
        "NOPE",
        "no_model_yet",
        404,
    )
    assert len(body["items"]) == 2
    assert client.get("/v1/forecasts?tickers=AAA").json()["complete"] is True


def test_an_answer_with_a_problem_in_it_is_the_same_for_all_and_the_id_of_the_request_is_beside_it(
    client: TestClient, services: Services
) -> None:
    add_version(services, alias="champion")
    tags = set()
    for request_id in ("first", "second"):
        answer = client.get("/v1/forecasts?tickers=AAA,NOPE", headers={"X-Request-ID": request_id})
        assert answer.headers["x-request-id"] == request_id
        assert answer.headers["cache-control"] == "no-cache"
        assert "request_id" not in answer.json()["items"][1]["problem"]
        tags.add(answer.headers["etag"])
    assert len(tags) == 1
    assert client.get("/v1/forecasts?tickers=AAA,a/b").status_code == 422
    assert client.get("/v1/forecasts?tickers=").status_code == 422


def bars(count: int) -> list[dict[str, Any]]:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(count)]
    return [
        {
            "session": str(day),
            "open": 10.0,
            "high": 11.0 + n % 3,
            "low": 9.5,
            "close": 10.0 + 0.1 * (n % 7),
            "volume": 5,
        }
        for n, day in enumerate(days)
    ]


def test_the_callers_own_bars_are_forecast_and_not_kept(client: TestClient, services: Services) -> None:
    add_version(services)
    response = client.post("/v1/forecasts", json={"ticker": "AAA", "bars": bars(300)})
    body = response.json()
    assert response.status_code == 200, body
    assert (body["as_of_session"], body["last_close"]) == ("2026-10-27", pytest.approx(10.5))
    assert client.get("/v1/tickers/AAA/bars").status_code == 404


def test_a_version_forecasts_the_callers_bars_up_to_its_horizon(client: TestClient, services: Services) -> None:
    spec = {"horizon": 2}
    add_version(services, spec=spec, alias="champion", network=network_of(spec))
    asked = {"ticker": "AAA", "bars": bars(300), "horizon": 2, "level": [50]}
    body = client.post("/v1/forecasts", json=asked).json()
    assert [step["step"] for step in body["steps"]] == [1, 2]
    assert (body["model"]["version"], body["steps"][0]["intervals"][0]["level"]) == (1, 50)
    assert client.post("/v1/forecasts", json=asked | {"horizon": 3}).json()["code"] == "horizon_too_long"
    few = client.post("/v1/forecasts", json=asked | {"bars": bars(5)}).json()
    assert (few["code"], few["have"]) == ("not_enough_history", 5)


def test_the_callers_bars_are_fed_back_for_each_target(client: TestClient, services: Services) -> None:
    targets = [{"field": "close"}, {"field": "high"}]
    add_version(services, spec={"targets": targets, "horizon": 30, "strategy": "recursive"}, alias="champion")
    asked = {"ticker": "AAA", "bars": bars(300), "horizon": 30}
    body = client.post("/v1/forecasts", json=asked).json()
    assert [(step["field"], step["step"]) for step in body["steps"]] == [
        (target["field"], step) for target in targets for step in range(1, 31)
    ]
    last = bars(300)[-1]
    assert [body["steps"][0]["last_value"], body["steps"][30]["last_value"]] == [last["close"], last["high"]]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"high": 9.0}, "/bars/2"),
        ({"close": 0}, "/bars/2/close"),
        ({"close": "10"}, "/bars/2/close"),
        ({"session": "2026-01-02"}, "/bars/2/session"),
        ({"volume": -1}, "/bars/2/volume"),
        ({"adj": 1}, "/bars/2/adj"),
        ({"high": 1e300}, "/bars/2/high"),
    ],
)
def test_bars_that_cannot_be_are_refused_with_a_pointer(
    client: TestClient, services: Services, change: dict[str, Any], pointer: str
) -> None:
    add_version(services)
    rows = bars(5)
    rows[2] |= change
    problem = client.post("/v1/forecasts", json={"ticker": "AAA", "bars": rows}).json()
    assert (problem["status"], problem["errors"][0]["pointer"]) == (422, pointer)


def test_bars_that_swing_beyond_all_numbers_are_refused(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion", network=network_of())
    rows = bars(300)
    for row, price in zip(rows, cycle((1e-12, 1e15)), strict=False):
        row |= dict.fromkeys(("open", "high", "low", "close"), price)
    problem = client.post("/v1/forecasts", json={"ticker": "AAA", "bars": rows, "level": [99.9999]}).json()
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("invalid_bars", "/bars")


def test_own_bars_of_a_ticker_without_a_model_are_404(client: TestClient) -> None:
    assert client.post("/v1/forecasts", json={"ticker": "AAA", "bars": bars(5)}).json()["code"] == "no_model_yet"


def rows_of(upload: str) -> dict[str, list[float]]:
    return {line.split(",")[0]: [float(number) for number in line.split(",")[1:]] for line in upload.splitlines()[1:]}


UPLOADED = {**PROVENANCE, "source": "upload"}
TO_MONDAY = csv_of(300, last=date(2026, 11, 23))
FRIDAY, MONDAY = rows_of(TO_MONDAY)[str(AS_OF)], rows_of(TO_MONDAY)["2026-11-23"]


def score(client: TestClient, services: Services, clock: Clock) -> None:
    """Bring bars up to Monday and let a refresh score by them."""
    clock.now = NOW + timedelta(days=3)
    sent = client.post("/v1/tickers/AAA/bars", content=TO_MONDAY, headers={"content-type": "text/csv"})
    assert sent.status_code == 201
    refresh_tickers(["AAA"], services=services, report=lambda *_: None)


def steps_of(client: TestClient, forecast_id: str) -> list[dict[str, Any]]:
    """The steps of one forecast in the history."""
    items = client.get("/v1/forecasts/AAA/history?level=80,95").json()["items"]
    item = next(item for item in items if item["forecast_id"] == forecast_id)
    assert IssuedOut.model_validate(item).model_dump(mode="json") == item
    steps: list[dict[str, Any]] = item["steps"]
    return steps


def test_the_history_scores_what_has_closed(client: TestClient, services: Services, clock: Clock) -> None:
    add_version(services, alias="champion")
    issued = add_forecast(services, provenance=UPLOADED, values={"close": FRIDAY[3]}, horizon=2)
    before, _ = steps_of(client, issued.forecast_id)
    assert (before["state"], before["actual"], before["scores"]) == ("pending", None, None)
    score(client, services, clock)
    first, second = steps_of(client, issued.forecast_id)
    assert first["state"] == "scored"
    assert first["actual"] == first["actual_close"] == MONDAY[3]
    scores = first["scores"]
    assert scores["error"] == pytest.approx(first["point"] - first["actual"])
    assert scores["absolute_error"] == abs(scores["error"])
    assert scores["persistence_error"] == pytest.approx(issued.last_close - first["actual"])
    interval = first["intervals"][0]
    assert scores["inside"]["80"] is (interval["lower"] <= first["actual"] <= interval["upper"])
    assert 0 < scores["pit"] < 1 and scores["crps"] > 0
    assert (second["state"], second["actual"], second["scores"]) == ("pending", None, None)


def test_actuals_are_in_the_prices_of_the_day_of_issue(client: TestClient, services: Services, clock: Clock) -> None:
    add_version(services, alias="champion")
    issued = add_forecast(services, provenance=UPLOADED, values={"close": 4 * FRIDAY[3]})
    score(client, services, clock)
    (step,) = steps_of(client, issued.forecast_id)
    assert step["actual"] == pytest.approx(4 * MONDAY[3])
    assert step["actual_close"] == MONDAY[3]


def test_a_restated_bar_of_the_day_of_issue_changes_no_actual(
    client: TestClient, services: Services, clock: Clock
) -> None:
    add_version(services, alias="champion")
    issued = add_forecast(services, provenance=UPLOADED, values={"close": 1.02 * FRIDAY[3]})
    score(client, services, clock)
    assert steps_of(client, issued.forecast_id)[0]["actual"] == MONDAY[3]


def test_each_target_is_scored_by_its_own_field(client: TestClient, services: Services, clock: Clock) -> None:
    add_version(services)
    issued = add_forecast(
        services, provenance=UPLOADED, values={"close": FRIDAY[3], "high": 2 * FRIDAY[1], "weighted_price": 50.0}
    )
    score(client, services, clock)
    close, high, weighted = steps_of(client, issued.forecast_id)
    assert (close["field"], close["actual"]) == ("close", MONDAY[3])
    assert (high["field"], high["actual"]) == ("high", pytest.approx(2 * MONDAY[1]))
    assert high["scores"]["error"] == pytest.approx(high["point"] - 2 * MONDAY[1])
    assert (weighted["field"], weighted["actual"], weighted["scores"]) == ("weighted_price", None, None)


def test_bands_are_displayed_as_calibrated_and_quantiles_as_said(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    kept = (
        Calibration(level=80, empirical=0.79, n=1000),
        Calibration(level=95, empirical=0.94, n=1000),
        Calibration(level=80, empirical=0.75, n=60, origin="live"),
        Calibration(level=95, empirical=0.9, n=60, origin="live"),
    )
    bands = Bands(levels=((80.0, 90.0), (95.0, 99.0)), kept=kept)
    add_forecast(services, horizon=2, bands=bands, issued_at=NOW + timedelta(seconds=1))
    asked = "/v1/forecasts/AAA?model=1&horizon=2&level=80,90,95,99"
    body = client.get(asked).json()
    first, second = body["steps"]
    wide = [first["quantiles"][p] for p in ("0.05", "0.95")]
    assert [first["intervals"][0][end] for end in ("lower", "upper")] == pytest.approx(wide)
    assert first["intervals"][0]["lower"] < first["quantiles"]["0.1"]
    assert [band["lower"] for band in first["intervals"]] == sorted([b["lower"] for b in first["intervals"]])[::-1]
    assert second["intervals"][0]["lower"] == second["quantiles"]["0.1"]
    told = {(entry["level"], entry["origin"]): (entry["empirical"], entry["n"]) for entry in body["calibration"]}
    assert told[80, "backtest"] == (0.79, 1000) and told[80, "live"] == (0.75, 60)
    assert told[90, "live"] == (pytest.approx(0.85), 60)
    assert len(told) == 8
    shown = client.get("/v1/forecasts/AAA/history?level=80").json()["items"][0]["steps"][0]["intervals"]
    assert shown == first["intervals"][:1]


def test_the_history_goes_back_page_by_page(client: TestClient, services: Services) -> None:
    add_version(services, alias="champion")
    for n in range(1, 4):
        add_forecast(services, issued_at=NOW + timedelta(days=n), as_of_session=AS_OF + timedelta(days=n))
    first = client.get("/v1/forecasts/AAA/history?page_size=3").json()
    rest = client.get(f"/v1/forecasts/AAA/history?page_size=3&page_token={first['next_page_token']}").json()
    sessions = [item["as_of_session"] for item in first["items"] + rest["items"]]
    assert sessions == ["2026-11-23", "2026-11-22", "2026-11-21", "2026-11-20"]
    assert "next_page_token" not in rest
    since = client.get("/v1/forecasts/AAA/history?since=2026-11-22").json()
    assert len(since["items"]) == 2
    assert client.get("/v1/forecasts/NOPE/history").json()["code"] == "no_model_yet"
    assert client.get("/v1/forecasts/AAA/history?since=0").status_code == 422


def test_a_moved_alias_elsewhere_is_seen_within_the_look(client: TestClient, services: Services, clock: Clock) -> None:
    add_version(services, alias="champion")
    add_version(services)
    assert client.get("/v1/forecasts/AAA").json()["model"]["version"] == 1
    with services.database.write() as tx:
        aliases.point(tx, "AAA", "champion", 2, by="another process", reason="", now=clock.now)
    client.app.state.hot_answers.look()  # type: ignore[attr-defined]
    assert client.get("/v1/forecasts/AAA").json()["model"]["version"] == 2
