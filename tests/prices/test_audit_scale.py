from __future__ import annotations

import numpy as np
import pytest

from app.domain.dividends import dividend_factors
from app.errors import InvalidBars
from app.prices.audit import audit
from tests.prices.making import changed, scaled, walk
from tests.prices.test_audit_rows import codes, refusal

PRICES = ("open", "high", "low", "close")
OHLCV = (*PRICES, "volume")


def split(ratio: float, *, row: int = 30, adjusted: bool, count: int = 60):
    """A walk whose bars before ``row`` are on the scale before a split of ``ratio`` new shares for one."""
    history = scaled(walk(count), slice(0, row), ratio, PRICES if adjusted else (*PRICES, "adj_close"))
    return scaled(history, slice(0, row), 1 / ratio, ("volume",))


@pytest.mark.parametrize("ratio", [2.0, 3.0, 1.5, 10.0, 1 / 20])
def test_adj_close_tells_the_ratio_and_the_bars_are_put_on_one_scale(ratio):
    fit, findings = audit(split(ratio, adjusted=True), fields=OHLCV)
    assert codes(findings) == {("unadjusted_split", "repaired"): 1}
    assert fit.price_basis == "split_adjusted"
    for name in OHLCV:
        np.testing.assert_allclose(fit.bars.column(name), walk().bars.column(name), rtol=1e-9)


def test_dividends_in_adj_close_do_not_disturb_the_ratio():
    history = scaled(split(2.0, adjusted=True), slice(0, 45), 0.99, ("adj_close",))
    fit, findings = audit(history, fields=OHLCV)
    assert codes(findings) == {("unadjusted_split", "repaired"): 1}
    np.testing.assert_allclose(fit.bars.close, walk().bars.close, rtol=1e-9)


def test_a_large_dividend_alone_is_no_split():
    history = scaled(walk(), slice(0, 30), 0.87, ("adj_close",))
    fit, findings = audit(history)
    assert findings == []
    assert fit.bars.close.tolist() == history.bars.close.tolist()


@pytest.mark.parametrize("ratio", [2.0, 3.0, 1.5, 10.0, 1 / 20, 0.5])
def test_without_adj_close_a_split_is_refused_with_the_numbers(ratio):
    history = split(ratio, adjusted=False)
    for fields in (("close",), OHLCV):
        found = refusal(history, fields)
        assert found["code"] == "unadjusted_split"
        assert found["examples"] == [str(history.bars.sessions[30])]
        assert f"{history.bars.close[30]:g}" in found["detail"]


def test_a_split_that_is_not_used_is_reported_and_the_basis_told():
    fit, findings = audit(split(2.0, adjusted=False), fields=("volume",))
    assert codes(findings) == {("unadjusted_split", "reported"): 1}
    assert fit.price_basis == "as_traded"


@pytest.mark.parametrize("alone", [False, True])
def test_a_split_that_adj_close_does_not_know_of_is_refused_where_it_is_used(alone):
    history = scaled(walk(), slice(0, 30), 2.0, ("adj_close",)) if alone else split(2.0, adjusted=False)
    found = refusal(history, ("adj_close",))
    assert (found["code"], found["examples"]) == ("unadjusted_split", [str(history.bars.sessions[30])])
    assert f"jumps from {history.bars.adj_close[29]:g} to {history.bars.adj_close[30]:g}" in found["detail"]
    assert not alone or [found.severity for found in audit(history)[1]] == ["reported"]


def test_an_adj_close_that_knows_of_the_split_is_used_as_it_is():
    fit, findings = audit(split(2.0, adjusted=True), fields=("adj_close",))
    assert codes(findings) == {("unadjusted_split", "repaired"): 1}
    assert fit.bars.adj_close.tolist() == walk().bars.adj_close.tolist()


@pytest.mark.parametrize("factor", [0.5, 0.33, 0.65, 1.5, 1.87])
def test_a_crash_or_a_rally_fought_out_in_the_session_is_real(factor):
    history = scaled(walk(), slice(30, 60), factor, (*PRICES, "adj_close"))
    close = history.bars.close
    span = {"high": {30: max(close[29], close[30]) * 1.01}, "low": {30: min(close[29], close[30]) * 0.98}}
    history = changed(history, open={30: close[29]}, volume={30: 9e6}, **span)
    fit, findings = audit(history, fields=OHLCV)
    assert findings == []
    assert len(fit) == 60


@pytest.mark.parametrize("factor", [0.5, 0.66])
def test_a_gap_with_a_flood_of_volume_is_real(factor):
    history = changed(scaled(walk(), slice(30, 60), factor, (*PRICES, "adj_close")), volume={30: 15e6})
    assert audit(history, fields=OHLCV)[1] == []


def test_one_field_on_another_scale_is_refused_only_where_it_is_used():
    history = scaled(walk(), slice(0, 30), 2.0, ("close", "adj_close"))
    found = refusal(history, ("close",))
    assert (found["code"], found["count"]) == ("unadjusted_split", 30)
    assert f"{history.bars.close[29]:g} to {history.bars.close[30]:g}" in found["detail"]
    fit, findings = audit(history, fields=("open", "high", "low"))
    assert {found.severity for found in findings} == {"reported"}
    assert len(fit) == 60


def test_one_field_on_another_scale_is_mended_where_adj_close_tells_the_ratio():
    fit, findings = audit(scaled(walk(), slice(0, 30), 2.0, ("close",)), fields=OHLCV)
    assert codes(findings) == {("unadjusted_split", "repaired"): 1}
    assert findings[0].fields == ("close",)
    np.testing.assert_allclose(fit.bars.close, walk().bars.close, rtol=1e-9)
    assert fit.bars.volume.tolist() == walk().bars.volume.tolist()


@pytest.mark.parametrize("tail", [1, 2, 5])
@pytest.mark.parametrize("factor", [10.0, 7.3, 0.12])
def test_last_bars_of_another_instrument_are_refused(tail, factor):
    history = scaled(walk(), slice(60 - tail, 60), factor, (*PRICES, "adj_close"))
    found = refusal(history)
    assert found["code"] == "wrong_instrument"
    assert f"last {tail} bars" in found["detail"]


@pytest.mark.parametrize("factor", [10.0, 0.01])
def test_a_bar_ten_times_off_that_comes_back_is_dropped(factor):
    history = scaled(walk(), slice(30, 31), factor, PRICES)
    fit, findings = audit(history, fields=("close",))
    assert ("price_spike", "repaired") in codes(findings)
    assert len(fit) == 59
    assert np.abs(np.diff(np.log(fit.bars.close))).max() < 0.1


def test_a_slip_of_adj_close_goes_where_it_is_used():
    history = scaled(walk(), slice(30, 31), 10.0, ("adj_close",))
    fit, findings = audit(history, fields=("adj_close",))
    assert (len(fit), codes(findings)) == (59, {("price_spike", "repaired"): 1})
    assert findings[0].fields == ("adj_close",)


@pytest.mark.parametrize(
    ("rows", "factor", "first"), [(slice(30, 31), 10.0, 30), (slice(0, 30), 2.0, 30)], ids=["a slip", "a split"]
)
def test_a_fault_of_adj_close_that_nobody_asked_for_hides_its_dividends_and_refuses_nothing(rows, factor, first):
    fit, findings = audit(scaled(walk(), rows, factor, ("adj_close",)), fields=("close",))
    assert codes(findings) == {("adjusted_close_off_scale", "reported"): 1}
    assert findings[0].examples == (str(fit.bars.sessions[first]),)
    assert len(fit) == 60
    assert (dividend_factors(fit.bars) == 1).all()


def test_a_slip_in_one_unused_field_is_reported():
    fit, findings = audit(scaled(walk(), slice(30, 31), 100.0, ("high",)), fields=("close",))
    assert codes(findings) == {("price_spike", "reported"): 1}
    assert len(fit) == 60


def test_a_bare_close_that_halves_exactly_is_refused_and_one_that_does_not_passes():
    bare = changed(walk(), **dict.fromkeys(("open", "high", "low", "adj_close", "volume"), np.full(60, np.nan)))
    assert refusal(scaled(bare, slice(0, 30), 2.0, ("close",)))["code"] == "unadjusted_split"
    assert audit(scaled(bare, slice(0, 30), 1.45, ("close",)))[1] == []


def test_high_and_low_that_never_span_the_rest_are_refused_where_used():
    history = changed(walk(), high=walk().bars.low * 0.95)
    with pytest.raises(InvalidBars) as caught:
        audit(history, fields=OHLCV)
    assert "ohlc_order" in {found["code"] for found in caught.value.facts["findings"]}
    assert codes(audit(history, fields=("close",))[1]) == {("ohlc_order", "reported"): 60}


def test_a_hair_beyond_high_and_low_is_reported():
    history = walk()
    history = changed(history, high={12: max(history.bars.open[12], history.bars.close[12]) * 0.9999})
    fit, findings = audit(history, fields=OHLCV)
    assert (len(fit), codes(findings)) == (60, {("ohlc_order", "reported"): 1})


def test_a_filler_between_lively_bars_is_dropped():
    history = walk()
    flat = {name: {30: history.bars.close[29]} for name in PRICES}
    for name in ("close", "adj_close"):
        fit, findings = audit(changed(history, **flat), fields=(name,))
        assert (len(fit), codes(findings)) == (59, {("stale_bar", "repaired"): 1})


@pytest.mark.parametrize("volume", [0.0, 300.0])
def test_a_still_bar_with_little_or_no_volume_stays_and_is_reported(volume):
    history = walk()
    flat = {name: {30: history.bars.close[29]} for name in PRICES}
    fit, findings = audit(changed(history, **flat, volume={30: volume}), fields=("close",))
    assert (len(fit), codes(findings)) == (60, {("stale_bar", "reported"): 1})
