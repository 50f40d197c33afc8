from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tests.api.rows import csv_of

BARS = "/v1/tickers/MINE/bars"
CSV = {"content-type": "text/csv; charset=utf-8"}


def test_uploaded_bars_come_back_oldest_first(client: TestClient) -> None:
    uploaded = client.post(BARS, content=csv_of(300), headers=CSV)
    body = uploaded.json()
    assert (uploaded.status_code, body["rows_taken"], body["rows_refused"]) == (201, 300, [])
    assert (body["source"], body["last_session"]) == ("upload", "2026-11-20")
    assert uploaded.headers["location"] == BARS
    shown = client.get(BARS).json()
    assert (shown["snapshot_id"], shown["source"], len(shown["items"])) == (body["snapshot_id"], "upload", 300)
    assert set(shown["items"][0]) >= {"session", "open", "high", "low", "close", "adj_close", "volume"}
    sessions = [row["session"] for row in shown["items"]]
    assert sessions == sorted(sessions)


def test_bars_are_cut_to_the_range_asked_for(client: TestClient) -> None:
    client.post(BARS, content=csv_of(300), headers=CSV)
    items = client.get(f"{BARS}?start=2026-11-17&end=2026-11-19").json()["items"]
    assert [row["session"] for row in items] == ["2026-11-17", "2026-11-18", "2026-11-19"]
    assert client.get(f"{BARS}?start=2027-01-01").json()["items"] == []
    assert client.get(f"{BARS}?start=20261117").status_code == 422


def test_further_columns_come_back_beside_the_fields(client: TestClient) -> None:
    plain, *rows = csv_of(300).splitlines()
    lines = [f"{plain},Weighted Price", *(f"{row},{n}" if n != 150 else f"{row}," for n, row in enumerate(rows))]
    assert client.post(BARS, content="\n".join(lines), headers=CSV).status_code == 201
    items = client.get(BARS).json()["items"]
    assert [items[n]["extra"] for n in (0, 150, 299)] == [
        {"weighted_price": 0.0},
        {"weighted_price": None},
        {"weighted_price": 299.0},
    ]
    schema = client.get("/openapi.json").json()["components"]["schemas"]["BarOut"]
    assert schema["properties"]["extra"]["type"] == "object" and "extra" not in schema["required"]


def test_one_row_that_cannot_be_read_and_nothing_is_stored(client: TestClient) -> None:
    lines = csv_of(300).splitlines()
    lines[5] = lines[5].replace(lines[5].split(",")[4], "n.b.")
    refused = client.post(BARS, content="\n".join(lines), headers=CSV)
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["rows_taken"]) == (422, "invalid_bars", 0)
    assert [row["line"] for row in problem["rows_refused"]] == [6]
    assert "close" in problem["rows_refused"][0]["reason"]
    assert problem["errors"][0]["pointer"] == "/lines/6"
    missing = client.get(BARS).json()
    assert missing["code"] == "no_bars_yet" and "training it fetches them" in missing["detail"]


@pytest.mark.parametrize("content", [b"", b"hello", b"Date,Close\n", b"\x00\x01\x02", b"a,b\n1,2\n"])
def test_what_is_no_table_of_bars_is_refused(client: TestClient, content: bytes) -> None:
    assert client.post(BARS, content=content, headers=CSV).status_code == 422


def test_only_csv_is_taken(client: TestClient) -> None:
    assert client.post(BARS, json={"a": 1}).json()["code"] == "unsupported_media_type"


def test_a_ticker_is_never_a_path(client: TestClient) -> None:
    for ticker in ("..%2Fetc", "A%00", "A B", "A" * 16, "A..%5C"):
        assert client.get(f"/v1/tickers/{ticker}/bars").status_code in (404, 422)
