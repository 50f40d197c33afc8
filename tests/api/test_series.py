from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, text

from app.api.schemas.series import SeriesOut
from app.domain.forecast import Bands, Forecast, Step
from app.domain.history import Action, PriceHistory
from app.domain.score import SCORED
from app.forecasting.actuals import Splits
from app.forecasting.market_data import keep
from app.forecasting.services import Services
from app.prices.base import PriceSource
from app.prices.csv_text import read_bars
from app.registry import aliases, scores
from tests.api.conftest import Clock
from tests.api.rows import AS_OF, NOW, add_forecast, add_version, csv_of

URL = "/v1/forecasts/AAA/series"
BASELINE = {"version": None, "architecture": "ewma_t", "preset": None, "trained_through": None}
MONDAY, TUESDAY, WEDNESDAY, THURSDAY = (date(2026, 11, day) for day in (16, 17, 18, 19))


class Silent(PriceSource):
    """A source that nobody may ask."""

    def fetch(self, *_: Any, **__: Any) -> PriceHistory:
        raise AssertionError("a source was asked")


def bars(count: int = 400, *, source: str = "files") -> PriceHistory:
    history, refused = read_bars(csv_of(count).encode(), ticker="AAA")
    assert not refused
    return replace(history, source=source)


def kept(services: Services, history: PriceHistory) -> dict[str, float]:
    """Keep the bars, and return their closes by session."""
    keep(history, services=services, now=services.clock())
    days = history.bars.sessions.astype("datetime64[D]").astype(str).tolist()
    return dict(zip(days, history.bars.close.tolist(), strict=True))


def issue(services: Services, day: date, close: float, *, hour: int = 22, **changes: Any) -> Forecast:
    """Issue a forecast at this ``hour`` of ``day`` for the day after, by version 1 if nothing else is said."""
    target = datetime(day.year, day.month, day.day, tzinfo=NOW.tzinfo) + timedelta(days=1)
    step = Step(
        step=1,
        field="close",
        last_value=close,
        target_session=target.date(),
        target_open_at=target + timedelta(hours=14),
        target_close_at=target + timedelta(hours=21),
        location=0.0005,
        scale=0.01,
        df=5.0,
    )
    issued_at = target - timedelta(hours=24 - hour)
    said = {"steps": (step,), "last_close": close, "as_of_session": day, "issued_at": issued_at}
    return add_forecast(services, **{**said, **changes})


def come(services: Services, forecast: Forecast, actual: float) -> None:
    """Let the session of ``forecast`` close at ``actual``."""
    with services.database.write() as tx:
        found = scores.of_forecasts(tx, [forecast.forecast_id]).values()
        scores.settle(tx, [replace(one, state=SCORED, actual=actual, actual_close=actual) for one in found])


def point(services: Services, number: int, at: datetime) -> None:
    with services.database.write() as tx:
        aliases.point(tx, "AAA", "champion", number, by="somebody", reason=f"because {number}", now=at)


def rows_of(columns: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {row["target_session"]: row for row in rows}


def test_a_chart_has_bars_what_was_issued_and_what_is_ahead(client: TestClient, services: Services) -> None:
    closes = kept(services, bars())
    add_version(services, spec={"horizon": 3}, alias="champion")
    issued = issue(services, THURSDAY, closes["2026-11-19"], issued_at=NOW, bands=Bands(levels=((80.0, 90.0),)))
    come(services, issued, 1.0)
    body = client.get(URL + "?level=80,99.5").json()
    SeriesOut.model_validate(body)
    assert {name: body[name] for name in ("ticker", "currency", "field", "source")} == {
        **{"ticker": "AAA", "currency": None, "field": "close", "source": "files"}
    }
    assert len(body["bars"]["session"]) == 250
    assert dict(zip(body["bars"]["session"], body["bars"]["close"], strict=True)).items() <= closes.items()
    first, last = rows_of(body["issued"]).values()
    assert list(first) == [
        *("target_session", "as_of_session", "issued_at", "origin", "version", "architecture", "last_close", "point"),
        *("lower_80", "upper_80", "lower_99.5", "upper_99.5", "actual", "state"),
    ]
    assert (first["target_session"], first["as_of_session"], first["version"]) == ("2026-11-20", "2026-11-19", 1)
    assert (first["state"], first["actual"]) == ("scored", closes["2026-11-20"])
    shown = client.get("/v1/forecasts/AAA/history?level=80,99.5").json()["items"]
    (step,) = next(one["steps"] for one in shown if one["forecast_id"] == issued.forecast_id)
    assert first["point"] == step["point"]
    ends = [band[end] for band in step["intervals"] for end in ("lower", "upper")]
    assert [first[name] for name in list(first)[8:12]] == ends
    assert (last["target_session"], last["state"], last["actual"]) == ("2026-11-23", "pending", None)


def test_what_is_ahead_is_the_latest_forecast(client: TestClient, services: Services) -> None:
    closes = kept(services, bars())
    wide = {"targets": [{"field": "close"}, {"field": "high"}], "horizon": 3}
    add_version(services, spec=wide, alias="champion")
    close = closes["2026-11-20"]
    add_forecast(services, values={"close": close, "high": close + 1}, horizon=3, issued_at=NOW + timedelta(seconds=1))
    latest = client.get("/v1/forecasts/AAA?horizon=3").json()
    body = client.get(URL).json()
    assert (body["edition"], body["next_update_at"]) == (latest["edition"], latest["next_update_at"])
    steps = [step for step in latest["steps"] if step["field"] == "close"]
    for name in ("step", "target_session", "target_close_at", "point"):
        assert body["ahead"][name] == [step[name] for step in steps]
    assert body["ahead"]["upper_95"] == [step["intervals"][1]["upper"] for step in steps]
    assert client.get(URL + "?horizon=2").json()["ahead"]["step"] == [1, 2]
    refused = client.get(URL + "?horizon=4").json()
    assert (refused["code"], refused["have"], refused["need"]) == ("horizon_too_long", 3, 4)


def test_each_session_shows_the_last_forecast_of_who_then_was_champion(client: TestClient, services: Services) -> None:
    closes = kept(services, bars())
    for number in (1, 2):
        add_version(services)
        point(services, number, datetime(2026, 11, 16 + number, 12, tzinfo=NOW.tzinfo))
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        close = closes[str(day)]
        for changes in (BASELINE, {"version": 1}, {"version": 2}):
            issue(services, day, close, **changes)
    again = issue(services, WEDNESDAY, closes["2026-11-18"], hour=23, version=2, architecture="again")
    body = client.get(URL + "?since=2026-11-17").json()
    shown = {day: row["version"] for day, row in rows_of(body["issued"]).items()}
    assert shown == {"2026-11-17": None, "2026-11-18": 1, "2026-11-19": 2, "2026-11-23": 2}
    assert rows_of(body["issued"])["2026-11-17"]["architecture"] == "ewma_t"
    assert rows_of(body["issued"])["2026-11-19"]["architecture"] == again.architecture
    assert body["changes"] == [
        {
            **{"at": f"2026-11-{16 + number}T12:00:00Z", "session": f"2026-11-{16 + number}", "version": number},
            **{"previous": number - 1 or None, "by": "somebody", "reason": f"because {number}"},
        }
        for number in (1, 2)
    ]
    by_one = client.get(URL + "?since=2026-11-17&model=1").json()
    assert set(by_one["issued"]["version"]) == {1} and len(by_one["issued"]["version"]) == 4
    assert by_one["changes"] == []


def test_another_alias_shows_nothing_from_before_it_was_there(client: TestClient, services: Services) -> None:
    closes = kept(services, bars())
    add_version(services, alias="canary")  # from Saturday on
    for changes in (BASELINE, {"version": 1}):
        issue(services, TUESDAY, closes["2026-11-17"], **changes)
    issued = client.get(URL + "?model=canary").json()["issued"]
    assert (issued["target_session"], issued["version"]) == (["2026-11-23"], [1])
    assert client.get(URL).json()["issued"]["version"] == [None]


@pytest.mark.parametrize("is_named", [True, False])
def test_a_split_since_does_not_tear_the_chart(client: TestClient, services: Services, is_named: bool) -> None:
    split = (Action(session=THURSDAY, kind="split", value=4.0),) if is_named else ()
    closes = kept(services, replace(bars(), actions=split))
    add_version(services, alias="champion")
    point(services, 1, datetime(2026, 11, 1, tzinfo=NOW.tzinfo))
    before = issue(services, TUESDAY, 4 * closes["2026-11-17"])
    come(services, before, 4 * closes["2026-11-18"])
    restated = issue(services, WEDNESDAY, 1.02 * closes["2026-11-18"])
    issue(services, AS_OF, 4 * closes["2026-11-20"], issued_at=NOW + timedelta(seconds=1))
    body = client.get(URL).json()
    issued = rows_of(body["issued"])
    row = issued["2026-11-18"]
    assert row["last_close"] == pytest.approx(closes["2026-11-17"])
    assert row["actual"] == closes["2026-11-18"]
    for name in ("point", "lower_80", "upper_95"):
        assert abs(math.log(row[name] / closes["2026-11-17"])) < 0.05
    assert issued["2026-11-19"]["last_close"] == restated.last_close
    assert body["ahead"]["point"][0] == pytest.approx(closes["2026-11-20"] * math.exp(0.0005))


def test_bars_begin_where_they_are_asked_to_and_no_source_is_asked(client: TestClient, services: Services) -> None:
    closes = kept(services, bars())
    add_version(services, alias="champion")
    silent = replace(services, sources={"files": Silent()})
    client.app.state.services = silent  # type: ignore[attr-defined]
    body = client.get(URL + "?since=2026-11-19").json()
    assert body["bars"] == {"session": ["2026-11-19", "2026-11-20"], "close": list(closes.values())[-2:]}
    later = client.get(URL + "?since=2027-01-01").json()
    assert (later["bars"], later["issued"]["point"]) == ({"session": [], "close": []}, [])
    assert [change["session"] for change in later["changes"]] == [None]
    assert len(client.get(URL + "?since=1900-01-01").json()["bars"]["close"]) == 400


def test_bars_are_the_newest_of_the_source_that_was_forecast_by(
    client: TestClient, services: Services, clock: Clock
) -> None:
    closes = kept(services, bars())
    clock.now += timedelta(minutes=1)
    kept(services, bars(5, source="upload"))
    add_version(services, alias="champion")
    body = client.get(URL).json()
    assert (body["source"], body["bars"]["close"]) == ("files", list(closes.values())[-250:])
    kept(services, bars(3))
    clock.now += timedelta(seconds=61)
    assert len(client.get(URL).json()["bars"]["close"]) == 3


def test_what_is_not_there_is_404_and_what_cannot_be_is_422(client: TestClient, services: Services) -> None:
    assert client.get(URL).json()["code"] == "no_model_yet"
    add_version(services, alias="champion")
    assert client.get(URL).json()["code"] == "no_bars_yet"
    kept(services, bars())
    for query, code in (("model=canary", "no_such_alias"), ("model=9", "no_such_version")):
        assert client.get(f"{URL}?{query}").json()["code"] == code
    for query in ("since=yesterday", "since=0", "level=100", "horizon=0", "horizon=367", "model=A"):
        assert client.get(f"{URL}?{query}").status_code == 422


def test_a_version_of_another_field_has_bars_alone(client: TestClient, services: Services) -> None:
    kept(services, bars())
    add_version(services, spec={"target": {"field": "high"}})
    body = client.get(URL + "?model=1").json()
    assert (body["issued"]["point"], body["ahead"]["point"], len(body["bars"]["close"])) == ([], [], 250)


def test_a_forecast_from_before_there_were_bands_shows_each_level_as_its_own(
    client: TestClient, services: Services
) -> None:
    closes = kept(services, bars())
    add_version(services, alias="champion")
    with services.database.write() as tx:
        tx.execute(
            text("UPDATE forecasts SET body = json_set(json_remove(body, '$.bands'), '$.calibration', json('[]'))")
        )
    (row,) = rows_of(client.get(URL + "?level=80").json()["issued"]).values()
    quantiles = client.get("/v1/forecasts/AAA").json()["steps"][0]["quantiles"]
    scaled = closes["2026-11-20"] / 100.0
    assert [row["lower_80"], row["upper_80"]] == pytest.approx(
        [quantiles[p] * scaled for p in ("0.1", "0.9")], rel=0.05
    )


@pytest.mark.parametrize("part", [{"location": 1e6}, {"quantiles": [0.1, 0.2]}])
def test_a_mangled_forecast_is_named_as_one(client: TestClient, services: Services, part: dict[str, Any]) -> None:
    kept(services, bars())
    add_version(services, alias="champion")
    with services.database.write() as tx:
        body = json.loads(tx.execute(text("SELECT body FROM forecasts")).scalar_one())
        body["steps"][0] |= part
        tx.execute(text("UPDATE forecasts SET body = :body"), {"body": json.dumps(body)})
    refused = client.get(URL)
    assert (refused.status_code, refused.json()["code"]) == (500, "corrupt_record")


def test_no_transaction_is_open_while_bars_are_read(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(services, bars())
    add_version(services, alias="champion")
    is_open: list[bool] = []
    read, load = services.database.read, services.snapshots.load

    @contextmanager
    def watched() -> Iterator[Connection]:
        with read() as tx:
            is_open.append(True)
            yield tx
        is_open.pop()

    def outside(snapshot_id: str) -> PriceHistory:
        assert not is_open
        return load(snapshot_id)

    monkeypatch.setattr(services.database, "read", watched)
    monkeypatch.setattr(services.snapshots, "load", outside)
    assert client.get(URL).status_code == 200


@pytest.mark.parametrize(("day", "become"), [(MONDAY, 6.0), (TUESDAY, 3.0), (WEDNESDAY, 3.0), (THURSDAY, 1.0)])
def test_a_share_has_become_as_many_as_the_splits_behind_that_session_made_of_it(day: date, become: float) -> None:
    named = ((THURSDAY, "split", 3.0), (WEDNESDAY, "dividend", 9.0), (TUESDAY, "split", 2.0))
    actions = tuple(Action(session=session, kind=kind, value=value) for session, kind, value in named)
    assert Splits(replace(bars(), actions=actions)).since(day) == become
    assert Splits(bars()).since(day) == 1.0


def test_a_chart_is_kept_in_memory_and_tagged(client: TestClient, services: Services) -> None:
    kept(services, bars())
    add_version(services, alias="champion")
    first = client.get(URL)
    assert first.headers["cache-control"] == "private, max-age=60, must-revalidate"
    hot = client.app.state.hot_answers  # type: ignore[attr-defined]
    assert hot.get((URL, b"", False)).ready.body == first.content
    again = client.get(URL, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
