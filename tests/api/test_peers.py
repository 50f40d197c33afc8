from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.api.app import create_app
from app.domain.history import Bars, PriceHistory
from app.forecasting.market_data import keep
from app.forecasting.services import Services
from tests.api.rows import AS_OF, NOW

AAA = "/v1/tickers/AAA/peers"


def prices(count: int, *, seed: int, last: date = AS_OF, own: float = 1.0) -> PriceHistory:
    """Weekdays that end with ``last``; ``1 - own`` of every move is everybody's."""
    days = np.busday_offset(np.datetime64(last), np.arange(1 - count, 1), roll="backward").astype("datetime64[D]")
    of_all, alone = (np.random.default_rng(s).normal(0, 0.01, 4000)[-count:] for s in (0, seed))
    close = 100 * np.exp(np.cumsum((1 - own) * of_all + own * alone))
    bars = Bars(days, close, 1.01 * close, 0.99 * close, close, close, np.full(count, 1e5))
    return PriceHistory(ticker="", source="", bars=bars)


def write(folder: Path, ticker: str, history: PriceHistory) -> None:
    bars = history.bars
    rows = zip(bars.sessions, bars.open, bars.high, bars.low, bars.close, strict=True)
    lines = [f"{day},{','.join(map(repr, map(float, values)))},100000" for day, *values in rows]
    (folder / f"{ticker}.csv").write_text("Date,Open,High,Low,Close,Volume\n" + "\n".join(lines) + "\n")


@pytest.fixture
def folder(services: Services) -> Path:
    """A price folder in which AAA moves with NEAR, less so with FAR; LATE and OLD share little or nothing with it."""
    folder = services.settings.files_dir
    assert folder
    for path in folder.iterdir():
        path.unlink()
    write(folder, "AAA", prices(1600, seed=1, own=0.3))
    write(folder, "NEAR", prices(1600, seed=2, own=0.3))
    write(folder, "FAR", prices(1600, seed=3, own=0.8))
    write(folder, "LATE", prices(100, seed=4))
    write(folder, "OLD", prices(500, seed=5, last=date(2012, 3, 1)))
    return folder


def test_candidates_are_ranked_by_how_their_returns_correlate(client: TestClient, folder: Path) -> None:
    body = client.get(f"{AAA}?candidates=far,near").json()
    assert (body["ticker"], body["source"], body["left_out"]) == ("AAA", "files", 0)
    assert [(item["ticker"], item["rank"]) for item in body["items"]] == [("NEAR", 1), ("FAR", 2)]
    assert body["matrix"]["tickers"] == ["AAA", "NEAR", "FAR"]
    assert body["items"][0]["returns"] == body["matrix"]["returns"][0][1] > body["items"][1]["returns"]
    top = client.get(f"{AAA}?candidates=FAR,NEAR&top=1").json()
    assert top["matrix"]["tickers"] == ["AAA", "NEAR"]
    assert top["items"] == body["items"][:1]


def test_correlations_are_those_of_numpy_before_anything_is_tested(client: TestClient, folder: Path) -> None:
    body = client.get(f"{AAA}?candidates=NEAR,FAR").json()
    whole = np.stack([prices(1600, seed=n, own=own).bars.close for n, own in ((1, 0.3), (2, 0.3), (3, 0.8))])
    known = whole[:, : body["sessions"]]
    sessions = prices(1600, seed=1).bars.sessions
    assert (body["sessions"], body["first_session"]) == (600, str(sessions[0]))
    assert body["last_session"] == str(sessions[599])
    np.testing.assert_allclose(body["matrix"]["prices"], np.corrcoef(known), atol=1e-9)
    np.testing.assert_allclose(body["matrix"]["returns"], np.corrcoef(np.diff(np.log(known), axis=1)), atol=1e-9)


def test_bars_that_the_default_evaluation_tests_on_move_nothing(client: TestClient, folder: Path) -> None:
    before = client.get(f"{AAA}?candidates=NEAR")
    near = prices(1600, seed=2, own=0.3)
    close = np.where(np.arange(1600) < 600, near.bars.close, prices(1600, seed=8).bars.close)
    moved = replace(near.bars, open=close, high=1.01 * close, low=0.99 * close, close=close)
    write(folder, "NEAR", replace(near, bars=moved))
    after = client.get(f"{AAA}?candidates=NEAR", headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 304
    assert client.get(f"{AAA}?candidates=NEAR&end={AS_OF}").json()["items"] != before.json()["items"]


def test_a_range_asked_for_is_the_window(client: TestClient, folder: Path) -> None:
    body = client.get(f"{AAA}?candidates=NEAR&start=2026-01-01&end=2026-06-30").json()
    assert (body["first_session"], body["last_session"]) == ("2026-01-01", "2026-06-30")
    assert client.get(f"{AAA}?candidates=NEAR&start=2022-01-03").json()["first_session"] == "2022-01-03"


def test_without_candidates_those_at_hand_are_looked_at_that_leave_enough_sessions(
    client: TestClient, folder: Path
) -> None:
    write(folder, "^IDX", prices(1500, seed=6))
    (folder / "BAD.csv").write_text("Date,Close\n2026-11-20,what\n")
    body = client.get(AAA).json()
    assert {item["ticker"] for item in body["items"]} == {"NEAR", "FAR", "^IDX"}
    assert body["left_out"] == 3
    assert body["first_session"] == str(prices(1500, seed=6).bars.sessions[0])


def test_what_was_left_out_says_why_to_who_asks(client: TestClient, folder: Path) -> None:
    (folder / "BAD.csv").write_text("Date,Close\n2026-11-20,what\n")
    bad = client.get(f"{AAA}?candidates=BAD").json()
    assert (bad["status"], bad["code"], bad["peer"]) == (422, "invalid_bars", "BAD")
    late = client.get(f"{AAA}?candidates=LATE").json()
    assert (late["status"], late["code"], late["have"], late["need"]) == (422, "not_enough_history", 100, 255)
    old = client.get(f"{AAA}?candidates=NEAR,OLD&end={AS_OF}").json()
    assert (old["code"], old["have"], old["need"], old["peers"]) == ("not_enough_history", 0, 3, ["NEAR", "OLD"])
    assert old["errors"][0]["pointer"] == "/query/candidates"
    assert "OLD 2010-04-02 to 2012-03-01" in old["detail"]


def test_tickers_that_the_source_does_not_have_are_refused_by_name(client: TestClient, folder: Path) -> None:
    problem = client.get(f"{AAA}?candidates=NOPE,NEAR,ALSO").json()
    assert (problem["status"], problem["code"], problem["tickers"]) == (422, "unknown_ticker", ["ALSO", "NOPE"])
    assert problem["errors"][0]["pointer"] == "/query/candidates"
    problem = client.get("/v1/tickers/NOPE/peers?candidates=AAA").json()
    assert (problem["code"], problem["tickers"]) == ("unknown_ticker", ["NOPE"])
    assert problem["errors"][0]["pointer"] == "/path/ticker"


def test_a_ticker_is_no_peer_of_its_own(client: TestClient, folder: Path) -> None:
    assert client.get(f"{AAA}?candidates=AAA,NEAR,NEAR").json()["matrix"]["tickers"] == ["AAA", "NEAR"]
    alone = client.get(f"{AAA}?candidates=AAA").json()
    assert (alone["items"], alone["matrix"]["tickers"], alone["sessions"]) == ([], ["AAA"], 600)


def test_a_price_that_stands_still_has_no_correlation(client: TestClient, folder: Path) -> None:
    still = prices(1600, seed=1)
    flat = np.full(1600, 50.0)
    # The closes alone: a bar that does not move at all is no trade, and the audit would drop it.
    write(
        folder,
        "STILL",
        replace(still, bars=replace(still.bars, open=flat * 1.001, high=flat * 1.01, low=flat * 0.99, close=flat)),
    )
    item = client.get(f"{AAA}?candidates=STILL&end={AS_OF}").json()["items"][0]
    assert (item["returns"], item["prices"]) == (None, None)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("candidates=", "/query/candidates"),
        ("candidates=A B", "/query/candidates"),
        ("candidates=" + ",".join(f"A{n}" for n in range(51)), "/query/candidates"),
        ("top=0", "/query/top"),
        ("start=2026", "/query/start"),
    ],
)
def test_a_question_in_another_form_is_refused(client: TestClient, query: str, pointer: str) -> None:
    problem = client.get(f"{AAA}?{query}").json()
    assert (problem["status"], problem["errors"][0]["pointer"]) == (422, pointer)


@pytest.fixture
def remote(services: Services) -> Iterator[TestClient]:
    """A service whose source is never asked inside a request: bars of AAA, NEAR and one upload are kept."""
    for ticker, source in (("AAA", "yahoo"), ("NEAR", "yahoo"), ("MINE", "upload"), ("YOURS", "upload")):
        history = replace(prices(1600, seed=len(ticker), own=0.5), ticker=ticker, source=source)
        keep(history, services=services, now=NOW)
    settings = services.settings.model_copy(update={"source": "yahoo"})
    with TestClient(create_app(replace(services, settings=settings))) as client:
        yield client


def test_of_a_source_outside_only_bars_kept_here_are_read(remote: TestClient) -> None:
    body: dict[str, Any] = remote.get(AAA).json()
    assert (body["source"], [item["ticker"] for item in body["items"]]) == ("yahoo", ["NEAR"])
    missing = remote.get(f"{AAA}?candidates=NEAR,NOPE,ALSO").json()
    assert (missing["status"], missing["code"], missing["tickers"]) == (404, "no_bars_yet", ["ALSO", "NOPE"])
    assert remote.get("/v1/tickers/NOPE/peers").json()["tickers"] == ["NOPE"]


def test_uploaded_bars_are_compared_with_other_uploads(remote: TestClient) -> None:
    body = remote.get("/v1/tickers/MINE/peers").json()
    assert (body["source"], [item["ticker"] for item in body["items"]]) == ("upload", ["YOURS"])
