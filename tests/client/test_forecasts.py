"""Forecasts of many tickers, in columns and as charts; and what is asked for again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from app.client import ClientError
from app.client import memory as kept_answers
from tests.api.rows import AS_OF, add_forecast, add_version
from tests.api.test_events import measured
from tests.api.test_series import bars, kept
from tests.client.canned import Said, canned, json_said


@pytest.fixture
def one_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.routes.forecasts.MAX_TICKERS", 1)


def page(edition: str, ticker: str, token: str | None = None, **facts: Any) -> Said:
    document = {"edition": edition, "complete": True, "next_update_at": None, "columns": {"ticker": [ticker]}, **facts}
    return json_said(document | ({"next_page_token": token} if token else {}))


def test_all_forecasts_are_those_of_all_pages(morrow, services, one_a_page):
    for ticker in ("BBB", "AAA", "CCC"):
        add_version(services, ticker, alias="champion" if ticker != "CCC" else None)
    everything = morrow.forecasts(levels=[50])
    assert [item.ticker for item in everything.items] == ["AAA", "BBB", "CCC"]
    assert not everything.complete
    assert everything.next_update_at == everything.items[0].next_update_at
    assert list(everything.to_frame().columns[-5:]) == list(morrow.forecast("AAA", levels=[50]).to_frame().columns[-5:])
    columns = morrow.forecast_columns(levels=[50])
    assert columns.columns["ticker"] == ["AAA", "BBB", "CCC"]
    assert (columns.edition, columns.complete, columns.next_update_at) == (
        everything.edition,
        False,
        everything.next_update_at,
    )


def test_a_service_without_versions_has_no_forecasts(morrow):
    assert morrow.forecasts().items == []
    assert morrow.forecasts().to_frame().empty
    assert morrow.forecast_columns().to_frame().empty


def test_columns_are_a_frame_with_a_row_a_step_and_one_a_problem(morrow, services):
    add_version(services, alias="champion", spec={"horizon": 3})
    frame = morrow.forecast_columns(["AAA", "ZZZ"], horizon=2, levels=[80, 99.5]).to_frame()
    assert list(frame.ticker) == ["AAA", "AAA", "ZZZ"]
    assert list(frame.problem.isna()) == [True, True, False]
    assert frame.problem[2] == "no_model_yet"
    assert list(frame.step[:2]) == [1, 2]
    assert {"point", "lower_80", "upper_99.5", "version"} <= set(frame.columns)
    assert frame.target_session[0].date() == date(2026, 11, 23)
    assert frame.issued_at[0].tzinfo is not None
    plain = morrow.forecasts(["AAA"], horizon=2).to_frame()
    assert list(plain.point) == pytest.approx(list(frame.point[:2]))
    assert plain.target_close_at.dtype == frame.target_close_at.dtype


def test_pages_of_another_edition_are_not_joined(opened):
    answers = [page("1", "AAA", "t"), page("2", "BBB", "u"), page("2", "AAA", "t"), page("2", "BBB")]
    with canned(*answers) as server:
        both = opened(server.url).forecast_columns()
        assert (both.edition, both.columns) == ("2", {"ticker": ["AAA", "BBB"]})
        assert both.next_page_token is None
        asked = "/v1/forecasts?format=columns"
        assert [one.path for one in server.asked] == [asked, f"{asked}&page_token=t"] * 2


def test_editions_that_do_not_stop_to_change_are_said(opened):
    changing = [page(str(edition), "AAA", "t") for edition in range(10)]
    with canned(*changing) as server:
        with pytest.raises(ClientError, match="edition_changed"):
            opened(server.url).forecast_columns()
        assert len(server.asked) == 6


def test_a_chart_has_three_frames(morrow, services):
    kept(services, bars())
    add_version(services, alias="champion", spec={"horizon": 3})
    add_forecast(services, as_of_session=date(2026, 11, 19), issued_at=datetime(2026, 11, 21, 13, tzinfo=UTC))
    chart = morrow.series("AAA", since=date(2026, 1, 1), levels=[50], horizon=2)
    assert (chart.ticker, chart.field, [change.version for change in chart.changes]) == ("AAA", "close", [1])
    assert chart.bars.to_frame().index[-1].date() == AS_OF
    ahead = chart.ahead.to_frame()
    assert list(ahead.index) == [1, 2]
    assert ahead.target_session[1].date() == date(2026, 11, 23)
    assert {"point", "lower_50", "upper_50"} <= set(ahead.columns)
    issued = chart.issued.to_frame()
    assert len(issued) == len(chart.issued.target_session) > 0
    assert {"point", "actual", "state", "version", "lower_50"} <= set(issued.columns)
    assert str(issued.index.dtype).startswith("datetime64")
    assert morrow.series("AAA", model=1, since=date(2027, 1, 1)).bars.to_frame().empty


def test_who_polls_is_sent_what_has_changed_alone(morrow, services, served):
    def unchanged(route: str) -> float:
        return measured(served, "morrow_http_requests_total", route=route, status="304")

    kept(services, bars())
    add_version(services, alias="champion")
    for ask, route in (
        (lambda: morrow.forecast("AAA"), "/v1/forecasts/{ticker}"),
        (lambda: morrow.forecasts(["AAA"]), "/v1/forecasts"),
        (lambda: morrow.forecast_columns(), "/v1/forecasts"),
        (lambda: morrow.series("AAA"), "/v1/forecasts/{ticker}/series"),
    ):
        before, first = unchanged(route), ask()
        assert unchanged(route) == before
        assert ask() == first
        assert unchanged(route) == before + 1
        add_version(services, alias="champion")
        while ask() == first:  # the service looks ten times a second
            pass


def test_what_is_kept_has_a_limit(opened, monkeypatch):
    def answer(ticker: str) -> Said:
        return Said(200, page("1", ticker).body, {"Content-Type": "application/json", "ETag": f'"{ticker}"'})

    monkeypatch.setattr(kept_answers, "MOST_BYTES", len(answer("A").body))
    with canned(answer("A"), answer("B"), answer("A"), Said(304)) as server:
        client = opened(server.url)
        for ticker in ("A", "B", "A", "A"):
            assert client.forecast_columns([ticker]).columns == {"ticker": [ticker]}
        assert [asked.headers.get("if-none-match") for asked in server.asked] == [None, None, None, '"A"']
