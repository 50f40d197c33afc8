from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.dataset.features import build_features, column_names
from app.domain.history import PRICE_FIELDS, Bars
from tests.dataset.series import made_up_bars

BARS = made_up_bars(400)


def closing_at(closes: list[float]) -> Bars:
    """Bars of which only the close matters."""
    values = np.array(closes, dtype=np.float64)
    return replace(made_up_bars(len(closes)), close=values, adj_close=values)


def column(bars: Bars, name: str, which: str) -> np.ndarray:
    return build_features(bars, [name])[:, column_names([name]).index(which)]


@pytest.mark.parametrize("volume", [np.full(400, np.nan), np.zeros(400)])
def test_without_a_volume_the_range_counts_it_as_usual(volume):
    rows = build_features(replace(BARS, volume=volume), ["range"])
    assert (rows[66:, column_names(["range"]).index("volume_to_month")] == 0).all()
    assert np.isfinite(rows[66:]).all()


def test_a_missing_open_counts_as_the_close():
    day_open, low = BARS.open.copy(), BARS.low.copy()
    day_open[200] = low[200] = np.nan
    bars = replace(BARS, open=day_open, low=low)
    assert np.isfinite(build_features(bars, ["range", "range_volatility"])[66:]).all()


def test_the_distance_to_a_mean_is_the_log_of_the_close_over_it():
    closes = [100.0] * 66 + [150.0]
    distances = build_features(closing_at(closes), ["moving_averages"])
    assert distances[65].tolist() == [0.0, 0.0, 0.0]
    means = [(4 * 100 + 150) / 5, (21 * 100 + 150) / 22, (65 * 100 + 150) / 66]
    np.testing.assert_allclose(distances[66], np.log(150 / np.array(means)))


def test_wilders_index_is_that_of_a_calculation_by_hand():
    # Seven gains of 2 and seven losses of 1: mean gain 1, mean loss 0.5.
    closes = [100.0 + n // 2 + 2 * (n % 2) for n in range(15)]
    # Then a gain of 4: mean gain (13 * 1 + 4) / 14, mean loss 13 * 0.5 / 14. Then a loss of 3.
    index = build_features(closing_at([*closes, 111.0, 108.0]), ["rsi"])[:, 0]
    gain, loss = 17 / 14, 6.5 / 14
    np.testing.assert_allclose(index[14:16], [1 / 1.5, 17 / 23.5])
    assert index[16] == pytest.approx(13 * gain / (13 * gain + 13 * loss + 3))


def test_the_strength_is_a_half_where_nothing_moved_and_ends_at_nought_and_one():
    assert (build_features(closing_at([5.0] * 30), ["rsi"])[14:] == 0.5).all()
    assert (build_features(closing_at(list(range(1, 31))), ["rsi"])[14:] == 1).all()
    assert (build_features(closing_at(list(range(31, 1, -1))), ["rsi"])[14:] == 0).all()


def test_the_calendar_tells_the_weekday_the_month_and_how_long_the_market_rested():
    days = np.array(["2024-01-05", "2024-01-08", "2024-04-09"], dtype="datetime64[D]")  # Friday, Monday, Tuesday
    rows = build_features(replace(made_up_bars(3), sessions=days), ["calendar"])
    tuesday = 2 * np.pi / 7
    np.testing.assert_allclose(rows[1], [0, 1, 0, 1, np.log(3)], atol=1e-12)
    np.testing.assert_allclose(rows[2], [np.sin(tuesday), np.cos(tuesday), 1, 0, np.log(92)], atol=1e-12)


def test_sunday_lies_beside_monday_and_december_beside_january():
    days = np.arange("2023-01-01", "2024-01-01", dtype="datetime64[D]")
    rows = build_features(replace(made_up_bars(365), sessions=days), ["calendar"])[1:]
    for pair in (slice(0, 2), slice(2, 4)):
        points = np.unique(rows[:, pair].round(9), axis=0)
        assert len(points) == {0: 7, 2: 12}[pair.start]
        np.testing.assert_allclose((points**2).sum(axis=1), 1)
    sunday, monday = rows[6, :2], rows[7, :2]
    wednesday = rows[9, :2]
    assert np.linalg.norm(sunday - monday) < np.linalg.norm(sunday - wednesday)


def test_the_volatility_of_ranges_is_that_of_garman_and_klass():
    # Every day opens at 100 where the last one closed, runs from 98 to 103 and closes at 100.
    flat = np.full(30, 100.0)
    bars = replace(made_up_bars(30), open=flat, close=flat, adj_close=flat, high=flat * 1.03, low=flat * 0.98)
    expected = np.log(np.sqrt(0.5 * np.log(103 / 98) ** 2))
    np.testing.assert_allclose(build_features(bars, ["range_volatility"])[22:], expected)


def test_twice_the_range_is_twice_the_volatility_and_a_gap_adds_to_it():
    def squared(bars: Bars) -> Bars:
        return replace(bars, **{name: getattr(bars, name) ** 2 for name in PRICE_FIELDS})

    calm, wild = (column(bars, "range_volatility", "month_volatility")[22:] for bars in (BARS, squared(BARS)))
    np.testing.assert_allclose(wild - calm, np.log(2), atol=1e-2)
    gap = np.where(np.arange(400) >= 300, 1.1, 1.0)
    jumped = replace(BARS, **{name: getattr(BARS, name) * gap for name in PRICE_FIELDS})
    before, after = (column(bars, "range_volatility", "week_volatility") for bars in (BARS, jumped))
    assert (after[300:305] > before[300:305] + 0.5).all()
    np.testing.assert_allclose(after[305:], before[305:])


def test_a_session_without_trade_is_the_largest_fall_and_two_are_no_change():
    volume = np.array([1e6, 2e6, 0.0, 0.0, 1e6, 1e6])
    change = build_features(replace(made_up_bars(6), volume=volume), ["volume_change"])[:, 0]
    np.testing.assert_allclose(change[1:], [np.log(2), -6, 0, 6, 0])
