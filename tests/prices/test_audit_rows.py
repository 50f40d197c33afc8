from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from app.errors import InvalidBars, InvalidSpec, NotEnoughHistory
from app.prices.audit import audit
from tests.prices.making import changed, walk

OHLCV = ("open", "high", "low", "close", "volume")


def codes(findings):
    return {(finding.code, finding.severity): finding.count for finding in findings}


def refusal(history, fields=("close",)):
    with pytest.raises(InvalidBars) as caught:
        audit(history, fields=fields)
    refused = [found for found in caught.value.facts["findings"] if found["severity"] == "refused"]
    assert refused
    return refused[0]


def reordered(history, rows):
    return replace(history, bars=history.bars.rows(np.asarray(rows)))


def test_good_bars_pass_untouched():
    history = walk()
    fit, findings = audit(history, fields=OHLCV)
    assert findings == []
    assert fit.bars.close.tolist() == history.bars.close.tolist()


def test_newest_first_is_turned_round():
    history = walk()
    fit, findings = audit(reordered(history, range(59, -1, -1)), fields=OHLCV)
    assert codes(findings) == {("unsorted", "repaired"): 59}
    assert fit.bars.sessions.tolist() == history.bars.sessions.tolist()
    assert fit.bars.volume.tolist() == history.bars.volume.tolist()


def test_repeated_bars_are_dropped():
    fit, findings = audit(reordered(walk(), [0, 1, 1, *range(2, 60), 59]))
    assert codes(findings) == {("duplicate_dates", "repaired"): 2}
    assert len(fit) == 60


def test_different_bars_of_one_session_are_refused_with_both_values():
    history = changed(reordered(walk(), [*range(31), *range(30, 60)]), close={31: 55.0})
    found = refusal(history)
    assert (found["code"], found["count"]) == ("duplicate_dates", 1)
    assert "55" in found["detail"]
    assert codes(audit(history, fields=("open",))[1]) == {("duplicate_dates", "repaired"): 1}


def test_of_two_bars_the_empty_one_goes():
    history = changed(reordered(walk(), [*range(31), *range(30, 60)]), close={30: np.nan})
    fit, findings = audit(history)
    assert codes(findings) == {("duplicate_dates", "repaired"): 1}
    assert not np.isnan(fit.bars.close).any()


def test_bars_without_a_used_value_are_dropped_and_others_reported():
    history = changed(walk(), open={10: np.nan}, low={10: np.nan})
    fit, findings = audit(history, fields=("close",))
    assert (len(fit), codes(findings)) == (60, {("missing_values", "reported"): 1})
    fit, findings = audit(history, fields=OHLCV)
    assert (len(fit), codes(findings)) == (59, {("missing_values", "repaired"): 1})
    assert findings[0].fields == ("open", "low")
    assert findings[0].examples == (str(history.bars.sessions[10]),)


def test_a_series_full_of_holes_is_refused():
    history = changed(walk(), close=dict.fromkeys(range(5, 55, 5), np.nan))
    assert refusal(history)["count"] == 10


@pytest.mark.parametrize("nothing", [np.full(60, np.nan), np.zeros(60), np.array([0.0, np.nan] * 30)])
@pytest.mark.parametrize("name", ["volume", "adj_close", "vwap"])
def test_a_field_that_the_source_lacks_is_refused_by_name_where_it_is_used(name, nothing):
    history = replace(walk(), bars=replace(walk().bars, extra={"vwap": walk().bars.close}))
    columns = {"extra": {"vwap": nothing}} if name == "vwap" else {name: nothing}
    history = replace(history, bars=replace(history.bars, **columns))
    with pytest.raises(InvalidBars, match=f"no values of {name}: all 60") as caught:
        audit(history, fields=("close", name))
    facts = caught.value.facts
    assert (facts["field"], facts["have"], facts["need"]) == (name, 0, 2)
    assert [(found["code"], found["severity"]) for found in facts["findings"]] == [("missing_values", "refused")]
    assert facts["findings"][0]["fields"] == [name]
    assert len(audit(history)[0]) == 60


def test_a_close_that_is_nowhere_is_said_so_and_not_called_a_short_history():
    assert refusal(changed(walk(), close=np.zeros(60)))["fields"] == ["close"]


def test_fields_that_are_never_there_together_are_refused_and_not_called_a_short_history():
    early, late = dict.fromkeys(range(30), np.nan), dict.fromkeys(range(30, 60), np.nan)
    found = refusal(changed(walk(), volume=early, adj_close=late), ("adj_close", "volume"))
    assert (found["code"], found["fields"], found["count"]) == ("missing_values", ["adj_close", "volume"], 60)


def test_a_session_without_volume_is_a_number_like_others():
    history = changed(walk(), volume={7: 0.0, 8: 0.0, 40: 0.0})
    fit, findings = audit(history, fields=OHLCV)
    assert (len(fit), findings) == (60, [])
    assert fit.bars.volume[7] == 0


def test_a_further_column_is_used_like_any_other():
    score = walk().bars.close - 100
    score[[5, 9]] = np.nan
    score[20] = 0.0
    history = replace(walk(), bars=replace(walk().bars, extra={"score": score}))
    fit, findings = audit(history, fields=("close", "score"))
    assert (len(fit), codes(findings)) == (58, {("missing_values", "repaired"): 2})
    assert findings[0].fields == ("score",)
    assert fit.bars.extra["score"].tolist() == score[np.isfinite(score)].tolist()
    assert audit(history)[1] == []


def test_a_bar_whose_prices_are_all_nought_is_empty_whatever_is_used_of_it():
    nothing = {name: {30: 0.0} for name in ("open", "high", "low", "close")}
    history = changed(walk(), **nothing, adj_close=np.full(60, np.nan))
    history = replace(history, bars=replace(history.bars, extra={"score": np.arange(60.0)}))
    for fields in (("volume",), ("score",), OHLCV):
        fit, findings = audit(history, fields=fields)
        assert (len(fit), codes(findings)) == (59, {("non_positive_prices", "repaired"): 1})
        assert 30 not in fit.bars.extra["score"]


def test_bars_of_which_no_field_is_used_are_put_in_order_all_the_same():
    fit, findings = audit(reordered(walk(), [3, 1, 1, *range(4, 60)]), fields=())
    assert codes(findings)["duplicate_dates", "repaired"] == 1
    assert (np.diff(fit.bars.sessions).astype(int) > 0).all()


def test_leading_zeros_are_dropped_however_many():
    nothing = dict.fromkeys(range(20), 0.0)
    history = changed(walk(), **dict.fromkeys(("open", "high", "low", "close", "adj_close", "volume"), nothing))
    fit, findings = audit(history, fields=OHLCV)
    assert codes(findings) == {("non_positive_prices", "repaired"): 20}
    assert fit.bars.sessions[0] == history.bars.sessions[20]


def test_a_zero_in_an_unused_field_is_reported():
    fit, findings = audit(changed(walk(), open={7: 0.0}))
    assert (len(fit), codes(findings)) == (60, {("non_positive_prices", "reported"): 1})


def test_a_true_negative_price_is_refused_and_the_way_out_is_named():
    history = changed(walk(ticker="CL=F"), close={30: -37.63}, low={30: -40.0, 31: -5.0})
    found = refusal(history)
    assert found["code"] == "non_positive_prices"
    assert "-37.63" in found["detail"]
    assert f"start at {history.bars.sessions[31]}" in found["detail"]
    assert f"start at {history.bars.sessions[32]}" in refusal(history, OHLCV)["detail"]
    fit, _ = audit(history.between(start=history.bars.sessions[32].astype(object)), fields=OHLCV)
    assert len(fit) == 28


@pytest.mark.parametrize("bars", [0, 1])
def test_less_than_two_bars_are_no_history(bars):
    with pytest.raises(NotEnoughHistory) as caught:
        audit(walk().head(bars))
    assert (caught.value.facts["have"], caught.value.facts["need"]) == (bars, 2)


def test_less_than_two_bars_left_are_no_history_either():
    with pytest.raises(NotEnoughHistory) as caught:
        audit(changed(walk().head(3), close={0: 0.0, 1: 0.0}))
    assert caught.value.facts["have"] == 1
    assert caught.value.facts["findings"][0]["code"] == "non_positive_prices"


def test_an_unknown_field_is_named():
    with pytest.raises(InvalidSpec):
        audit(walk(), fields=("vwap",))


def test_a_refusal_lists_every_finding_ready_for_json():
    history = changed(walk(), close={20: -1.0}, open={5: np.nan})
    with pytest.raises(InvalidBars) as caught:
        audit(history)
    assert {found["code"] for found in caught.value.facts["findings"]} == {"non_positive_prices", "missing_values"}
    assert all(isinstance(found["examples"], list) for found in caught.value.facts["findings"])
    assert date.fromisoformat(caught.value.facts["findings"][0]["examples"][0])
