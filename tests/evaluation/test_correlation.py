from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from app.domain.history import Bars, PriceHistory
from app.evaluation.correlation import correlate, correlation_of


def bars(closes: np.ndarray, *, first: str = "2020-01-01", step: int = 1) -> Bars:
    days = np.datetime64(first) + step * np.arange(len(closes))
    return Bars(days, closes, closes, closes, closes, closes, np.ones(len(closes)))


def walk(count: int, seed: int, *, with_: np.ndarray | None = None, share: float = 0.0) -> np.ndarray:
    moves = np.random.default_rng(seed).normal(0, 0.01, count)
    if with_ is not None:
        moves[1:] = share * np.diff(np.log(with_)) + (1 - abs(share)) * moves[1:]
    return 100 * np.exp(np.cumsum(moves))


def test_correlations_are_those_of_numpy():
    closes = {name: walk(300, seed) for seed, name in enumerate(("AAA", "BBB", "CCC"))}
    found = correlate({name: bars(values) for name, values in closes.items()})
    table = np.stack(list(closes.values()))
    np.testing.assert_allclose(found.prices, np.corrcoef(table), atol=1e-12)
    np.testing.assert_allclose(found.returns, np.corrcoef(np.diff(np.log(table), axis=1)), atol=1e-12)


def test_only_sessions_that_all_share_count_and_returns_span_the_gaps_between_them():
    daily, every_third = walk(300, 1), walk(100, 2)
    found = correlate({"AAA": bars(daily), "BBB": bars(every_third, step=3)})
    assert len(found.sessions) == 100
    together = np.stack([daily[::3], every_third])
    np.testing.assert_allclose(found.returns, np.corrcoef(np.diff(np.log(together), axis=1)), atol=1e-12)


def test_the_nearest_come_first_whichever_way_they_move():
    lead = walk(500, 1)
    found = correlate(
        {
            "AAA": bars(lead),
            "FAR": bars(walk(500, 2)),
            "LIKE": bars(walk(500, 3, with_=lead, share=0.6)),
            "AGAINST": bars(walk(500, 4, with_=lead, share=-0.9)),
        }
    ).to_dict(top=2)
    assert [(item["ticker"], item["rank"]) for item in found["items"]] == [("AGAINST", 1), ("LIKE", 2)]
    assert found["items"][0]["returns"] < -0.9
    assert found["matrix"]["tickers"] == ["AAA", "AGAINST", "LIKE"]
    assert found["matrix"]["returns"][0][1] == found["matrix"]["returns"][1][0] == found["items"][0]["returns"]
    assert [found["matrix"]["prices"][n][n] for n in range(3)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("still", [np.full(50, 0.1), 0.1 * 1.01 ** np.arange(50)])
def test_what_never_moved_has_no_correlation_and_comes_last(still):
    found = correlate({"AAA": bars(walk(50, 1)), "STILL": bars(still), "BBB": bars(walk(50, 2))}).to_dict()
    assert [item["ticker"] for item in found["items"]] == ["BBB", "STILL"]
    assert found["items"][1]["returns"] is None
    assert found["matrix"]["returns"][2] == [None, None, None]
    assert "NaN" not in json.dumps(found)


def test_too_few_or_no_shared_sessions_leave_nulls():
    lead = bars(walk(50, 1))
    for other in (bars(walk(5, 2), first="2030-01-01"), bars(walk(2, 2))):
        found = correlate({"AAA": lead, "BBB": other}).to_dict()
        assert found["items"][0]["returns"] is None
        assert found["sessions"] in (0, 2)
    none = correlate({"AAA": lead, "BBB": bars(walk(5, 2), first="2030-01-01")}).to_dict()
    assert (none["first_session"], none["last_session"]) == (None, None)


def test_sessions_without_a_close_do_not_count():
    closes = walk(50, 1)
    holes = closes.copy()
    holes[[3, 7]] = np.nan, 0.0
    found = correlate({"AAA": bars(holes), "BBB": bars(walk(50, 2))})
    assert len(found.sessions) == 48


def test_nothing_after_the_window_moves_a_correlation():
    histories = [PriceHistory(ticker=t, source="files", bars=bars(walk(200, n))) for n, t in enumerate(("AAA", "BBB"))]
    until = histories[0].head(120).last_session

    def document(own: PriceHistory, peer: PriceHistory) -> dict:
        return correlation_of(own, {"BBB": peer}, until=until)

    before = document(*histories)
    moved = [
        replace(one, bars=replace(one.bars, close=np.where(np.arange(200) < 120, one.bars.close, 7.0 + n)))
        for n, one in enumerate(histories)
    ]
    assert document(*moved) == before
    assert (before["sessions"], before["last_session"], before["source"]) == (120, until.isoformat(), "files")


def test_a_dividend_is_no_move_that_two_tickers_have_in_common():
    closes = {name: walk(300, seed) for seed, name in enumerate(("AAA", "BBB"))}
    total = correlate({name: bars(values) for name, values in closes.items()})
    ex_day = np.where(np.arange(300) < 150, 1.0, 0.9)
    paid = {name: replace(bars(values * ex_day), adj_close=values) for name, values in closes.items()}
    np.testing.assert_allclose(correlate(paid).returns, total.returns, atol=1e-12)
    assert not np.allclose(correlate(paid).prices, total.prices)
