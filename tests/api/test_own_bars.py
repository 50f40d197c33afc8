"""Bars that the caller brings: their further columns, and what they cannot stand for."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.api.own_bars import bars_of
from app.api.schemas.forecasts import BarIn
from app.forecasting.services import Services
from tests.api.rows import add_version, csv_of

READS_WEIGHTED = {"features": ["close", "weighted_price"]}


def rows(count: int = 100, **extra: float) -> list[dict[str, Any]]:
    """Bars as a request brings them, each with ``extra``."""
    cells = (line.split(",") for line in csv_of(count).splitlines()[1:])
    names = ("open", "high", "low", "close", "volume")
    bars = [{"session": day, **dict(zip(names, map(float, values), strict=True))} for day, *values in cells]
    return [bar | {"extra": extra} for bar in bars] if extra else bars


def ask(client: TestClient, bars: list[dict[str, Any]]) -> Any:
    return client.post("/v1/forecasts", json={"ticker": "AAA", "model": "1", "bars": bars})


def test_further_columns_are_nan_where_a_bar_lacks_them() -> None:
    made = rows(3)
    made[0]["extra"], made[2]["extra"] = {"weighted_price": 7}, {"weighted_price": 9.5, "trades": 3}
    bars = bars_of([BarIn.model_validate_json(json.dumps(row)) for row in made])
    np.testing.assert_array_equal(bars.extra["weighted_price"], [7.0, math.nan, 9.5])
    np.testing.assert_array_equal(bars.extra["trades"], [math.nan, math.nan, 3.0])


def test_a_version_reads_further_columns_of_the_callers_bars(client: TestClient, services: Services) -> None:
    add_version(services, spec=READS_WEIGHTED)
    assert ask(client, rows(weighted_price=101.5)).status_code == 200
    without = ask(client, rows()).json()
    assert (without["status"], without["code"]) == (422, "invalid_spec")
    assert "weighted_price" in without["detail"]
    gaps = rows(weighted_price=101.5)
    del gaps[70]["extra"]
    assert (ask(client, gaps).json()["code"], ask(client, gaps).json()["count"]) == ("invalid_bars", 1)


@pytest.mark.parametrize(
    "extra", [{"close": 1.0}, {"Weighted": 1.0}, {"weighted price": 1.0}, {"x": "1"}, {"x": None}, {"x": 1e16}, [1.0]]
)
def test_further_columns_are_numbers_under_names_of_their_own(client: TestClient, extra: Any) -> None:
    bars = rows(3)
    bars[1]["extra"] = extra
    problem = ask(client, bars).json()
    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert problem["errors"][0]["pointer"].startswith("/bars/1/extra")


def test_a_version_that_reads_peers_needs_bars_of_them_too(client: TestClient, services: Services) -> None:
    add_version(services, spec={"features": ["close"], "peers": ["BBB", "CCC"]})
    response = ask(client, rows())
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "needs_peers")
    assert (problem["peers"], problem["missing"]) == (["BBB", "CCC"], ["BBB", "CCC"])
    document = client.get("/openapi.json").json()["paths"]["/v1/forecasts"]["post"]
    assert "needs_peers" in document["description"] and "422" in document["responses"]
