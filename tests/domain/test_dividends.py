"""Total returns from adjusted closes, however they are rounded and restated."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from app.domain.dividends import dividend_factors, reinvested
from app.domain.history import TRADED_FIELDS
from tests.dataset.series import made_up_bars, paying

BARS = made_up_bars(300)
PAYING = paying(BARS, every=60, share=0.01)
FACTORS = np.where(np.arange(300) % 60 == 0, 1 / 0.99, 1.0)
FACTORS[0] = 1.0


def test_a_dividend_is_the_growth_of_adjusted_over_quoted_close():
    np.testing.assert_allclose(dividend_factors(PAYING), FACTORS, rtol=1e-12)
    assert (dividend_factors(BARS) == 1).all()


def test_prices_move_by_their_total_return_and_keep_the_shape_of_their_day():
    total = reinvested(PAYING)
    np.testing.assert_allclose(np.diff(np.log(total.close)), np.diff(np.log(PAYING.adj_close)), atol=1e-12)
    for name in TRADED_FIELDS:
        np.testing.assert_allclose(total.column(name) / total.close, BARS.column(name) / BARS.close)
        assert total.column(name)[0] == BARS.column(name)[0]
    assert (total.adj_close is PAYING.adj_close) and (total.volume is PAYING.volume)


@pytest.mark.parametrize("digits", [2, 3, 4, 6])
@pytest.mark.parametrize("price", [0.4, 3.0, 100.0])
def test_the_rounding_of_adjusted_closes_is_no_dividend(digits, price):
    close = np.round(BARS.close / BARS.close[0] * price, digits)
    known = replace(BARS, close=close, adj_close=np.round(close * 0.7391, digits))
    assert (dividend_factors(known) == 1).all()
    single = replace(known, adj_close=(close * 0.7391).astype(np.float32).astype(np.float64))
    assert (dividend_factors(single) == 1).all()


def test_a_dividend_beyond_the_rounding_is_found_in_cents_too():
    cents = replace(PAYING, adj_close=np.round(PAYING.adj_close, 2))
    np.testing.assert_allclose(dividend_factors(cents), FACTORS, rtol=3e-4)
    assert (dividend_factors(cents)[FACTORS == 1] == 1).all()


def test_a_small_dividend_counts_where_the_numbers_are_fine_enough_to_show_it():
    small = paying(replace(BARS, close=BARS.close / 50), every=60, share=0.0005)
    np.testing.assert_allclose(
        dividend_factors(replace(small, adj_close=np.round(small.adj_close, 6))),
        np.where(FACTORS > 1, 1 / 0.9995, 1.0),
        rtol=2e-6,
    )


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_around_a_bar_without_an_adjusted_close_the_quoted_one_counts(value):
    adjusted = PAYING.adj_close.copy()
    adjusted[60] = value
    factors = dividend_factors(replace(PAYING, adj_close=adjusted))
    assert (factors[60], factors[61]) == (1.0, 1.0)
    np.testing.assert_allclose(factors[62:], FACTORS[62:])


def test_where_dividends_are_named_there_are_no_others_and_a_day_of_rest_belongs_to_the_next_bar():
    saturday = date(2010, 1, 9)
    adjusted = PAYING.adj_close.copy()
    adjusted[:5] *= 0.98
    known = replace(PAYING, adj_close=adjusted)
    factors = dividend_factors(known, [saturday])
    assert BARS.sessions[5] == np.datetime64("2010-01-11")
    assert factors[5] == pytest.approx(1 / 0.98)
    assert (np.delete(factors, 5) == 1).all()


def test_a_named_dividend_of_a_bar_without_an_adjusted_close_counts_at_the_next_that_has_one():
    adjusted = PAYING.adj_close.copy()
    adjusted[60] = np.nan
    named = [PAYING.sessions[60].astype(date)]
    factors = dividend_factors(replace(PAYING, adj_close=adjusted), named)
    assert factors[61] == pytest.approx(1 / 0.99)
    assert (np.delete(factors, 61) == 1).all()


def test_a_dividend_to_come_restates_the_past_and_moves_none_of_it():
    restated = replace(PAYING, adj_close=PAYING.adj_close * 0.9731)
    for name in TRADED_FIELDS:
        np.testing.assert_allclose(reinvested(restated).column(name), reinvested(PAYING).column(name), rtol=1e-12)
    cut = PAYING.rows(slice(0, 200))
    np.testing.assert_array_equal(reinvested(PAYING).close[:200], reinvested(cut).close)
