"""Real files, good and bad, and what a careful analyst does with each."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidBars, NotEnoughHistory
from app.prices.audit import audit
from app.prices.files import FilePrices

BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
DATA = Path(os.environ.get("MORROW_REFERENCE_DATA", BESIDE))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OHLC = ("open", "high", "low", "close")
OHLCV = (*OHLC, "volume")
SIX = ("AVGO", "GOOG", "MSFT", "META", "AAPL", "NVDA")

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the reference market data are not beside the checkout"),
]


@pytest.fixture
def fetch(tmp_path):
    def history(pattern: str, ticker: str):
        (file,) = DATA.glob(pattern)
        shutil.copy(file, tmp_path / f"{ticker}.csv")
        return FilePrices(tmp_path).history(ticker, now=NOW)

    return history


def by_code(findings):
    return {(finding.code, finding.severity): finding for finding in findings}


def refused(caught):
    return [found for found in caught.value.facts["findings"] if found["severity"] == "refused"]


def largest_move(history):
    return float(np.abs(np.diff(np.log(history.bars.close))).max())


@pytest.mark.parametrize("file", sorted(DATA.glob("dev/*.csv")), ids=lambda file: file.stem)
def test_real_crashes_and_rallies_are_no_faults(fetch, file):
    history = fetch(f"dev/{file.name}", file.stem)
    fit, findings = audit(history, fields=OHLCV)
    assert len(fit) == len(history)
    assert {finding.severity for finding in findings} <= {"reported"}
    assert fit.bars.close.tolist() == history.bars.close.tolist()


@pytest.mark.parametrize("fields", [("adj_close",), OHLC])
def test_the_six_largest_pass_as_they_are_and_share_their_sessions(fetch, fields):
    histories = {ticker: fetch(f"seeds/{ticker}.csv", ticker) for ticker in SIX}
    for history in histories.values():
        fit, findings = audit(history, fields=fields)
        assert findings == []
        for name in (*OHLCV, "adj_close"):
            assert fit.bars.column(name).tolist() == history.bars.column(name).tolist()
        assert fit.bars.sessions.tolist() == histories["MSFT"].bars.sessions.tolist()


def sessions_in(history, year):
    return int((history.bars.sessions.astype("datetime64[Y]") == np.datetime64(str(year))).sum())


def test_ibms_bar_without_open_and_low_goes_only_where_they_are_used(fetch):
    history = fetch("seeds/IBM.csv", "IBM")
    for name in ("close", "high"):
        fit, findings = audit(history, fields=(name,))
        assert by_code(findings)["missing_values", "reported"].examples == ("2017-07-31",)
        assert fit.bars.column(name).tolist() == history.bars.column(name).tolist()
        assert sessions_in(fit, 2017) == 251
    fit, findings = audit(history, fields=OHLC)
    assert sessions_in(fit, 2017) == 250
    assert by_code(findings)["missing_values", "repaired"].examples == ("2017-07-31",)
    assert by_code(findings)["ohlc_order", "reported"].count == 4
    assert len(fit) == 3019


def test_googles_broken_close_is_refused_and_its_open_passes(fetch):
    history = fetch("seeds/GOOGL.csv", "GOOGL")
    with pytest.raises(InvalidBars) as caught:
        audit(history, fields=("close",))
    assert "1128.87 to 556.93 on 2014-03-27" in refused(caught)[0]["detail"]
    fit, findings = audit(history, fields=("open",))
    assert len(fit) == 1278
    assert by_code(findings)["unadjusted_split", "reported"].count == 560
    assert fit.bars.open.tolist() == history.bars.open.tolist()


def test_bitcoins_empty_rows_go_and_its_gap_is_told(fetch):
    extra = ("weighted_price", "volume_currency")
    history = fetch("seeds/BTC-USD.csv", "BTC-USD")
    assert set(history.bars.extra) == set(extra)
    for fields in ((*OHLCV, *extra), ("open",), ("weighted_price",)):
        fit, findings = audit(history, fields=fields)
        found = by_code(findings)
        assert found["non_positive_prices", "repaired"].count == 49
        assert found["missing_sessions", "reported"].count == 9
        assert "2020-12-30 to 2021-01-07" in found["missing_sessions", "reported"].detail
        assert len(fit) == 2640
        assert all((fit.bars.column(name) > 0).all() for name in (*OHLCV, *extra))


def test_an_index_without_volume_is_refused_only_where_the_volume_is_used(fetch):
    history = fetch("messy/non_trading_*.csv", "EURX")
    with pytest.raises(InvalidBars, match="no values of volume") as caught:
        audit(history, fields=("close", "volume"))
    assert (caught.value.facts["field"], caught.value.facts["have"]) == ("volume", 0)


def test_a_delisted_stock_is_put_on_one_scale_by_its_adj_close(fetch):
    fit, findings = audit(fetch("messy/delisted__*.csv", "FWLT"), fields=OHLCV)
    split = by_code(findings)["unadjusted_split", "repaired"]
    assert split.examples == ("2004-11-30", "2008-01-23")
    assert "1:20" in split.detail
    assert fit.last_session == date(2014, 12, 3)
    assert largest_move(fit) < 0.7


def test_of_three_stacked_tickers_one_is_taken_oldest_first(fetch):
    fit, findings = audit(fetch("messy/dup_dates_*.csv", "TSLA"), fields=OHLCV)
    assert (len(fit), fit.first_session, fit.last_session) == (754, date(2015, 1, 2), date(2017, 12, 29))
    assert ("unsorted", "repaired") in by_code(findings)
    with pytest.raises(InvalidBars) as caught:
        fetch("messy/dup_dates_*.csv", "MSFT")
    assert caught.value.facts["found"] == ["AAPL", "COKE", "TSLA"]


def test_a_header_without_rows_is_no_history(fetch):
    with pytest.raises(NotEnoughHistory) as caught:
        fetch("messy/empty_*.csv", "SPY")
    assert caught.value.facts["have"] == 0


def test_a_web_page_is_called_one(fetch):
    with pytest.raises(InvalidBars, match="HTML"):
        fetch("messy/html_*.csv", "IBM")


def test_the_nifty_in_local_format_keeps_its_special_sessions(fetch):
    history = fetch("messy/locale_*.csv", "^NSEI")
    fit, findings = audit(history, fields=("open", "high", "low", "close"))
    assert (len(fit), fit.first_session, fit.last_session) == (3986, date(2009, 1, 1), date(2025, 1, 31))
    assert fit.bars.close[-1] == 23508.4
    assert fit.bars.volume[-1] == 304.86e6
    assert by_code(findings)["missing_values", "reported"].count == 4
    assert by_code(findings)["non_session_bars", "reported"].count >= 17
    assert largest_move(fit) == pytest.approx(0.1633, abs=1e-3)


def test_three_header_rows_and_an_empty_tail(fetch):
    fit, findings = audit(fetch("messy/multi_header_*.csv", "ADANIENT.NS"), fields=OHLCV)
    assert fit.last_session == date(2026, 6, 23)
    assert by_code(findings)["missing_values", "repaired"].examples == ("2026-06-24",)
    assert np.isfinite(fit.bars.close).all()


def test_null_rows_go_and_days_without_trade_are_told(fetch):
    fit, findings = audit(fetch("messy/nan_gaps__*.csv", "ELC"), fields=OHLCV)
    assert by_code(findings)["missing_values", "repaired"].count == 69
    assert by_code(findings)["stale_bar", "reported"].count > 500
    assert len(fit) == 3304


def test_oils_negative_settlement_is_refused_and_a_later_start_passes(fetch):
    history = fetch("messy/negative_*.csv", "CL=F")
    with pytest.raises(InvalidBars) as caught:
        audit(history, fields=("close",))
    detail = refused(caught)[0]["detail"]
    assert "-37.63 on 2020-04-20" in detail
    assert "start at 2020-04-21" in detail
    fit, _ = audit(history.between(start=date(2020, 4, 22)), fields=OHLCV)
    assert fit.first_session == date(2020, 4, 22)


def test_sunday_rows_of_an_index_are_no_sessions(fetch):
    fit, findings = audit(fetch("messy/non_trading_*.csv", "EURX"), fields=("close",))
    assert by_code(findings)["non_session_bars", "repaired"].count >= 795
    assert {day.weekday() for day in fit.bars.sessions.astype(object)} == {0, 1, 2, 3, 4}
    assert largest_move(fit) < 0.05


def test_one_row_is_no_history(fetch):
    with pytest.raises(NotEnoughHistory) as caught:
        audit(fetch("messy/one_row__*.csv", "0100.HK"))
    assert caught.value.facts["have"] == 1


def test_raw_splits_are_undone_and_the_filler_goes(fetch):
    fit, findings = audit(fetch("messy/unadjusted_*.csv", "NKE"), fields=OHLCV)
    found = by_code(findings)
    assert found["unadjusted_split", "repaired"].examples == ("2007-04-03", "2012-12-26", "2015-12-24")
    assert found["stale_bar", "repaired"].examples == ("2014-09-26",)
    assert fit.price_basis == "split_adjusted"
    assert fit.bars.close[0] == pytest.approx(56.31 / 8)
    assert largest_move(fit) < 0.25


def test_a_young_stock_is_short_but_whole(fetch):
    history = fetch("messy/very_short__*.csv", "2513.HK")
    fit, findings = audit(history, fields=OHLCV)
    assert (len(fit), findings) == (53, [])


def test_leading_zeros_go_and_real_biotech_moves_stay(fetch):
    fit, findings = audit(fetch("messy/zero_prices__*.csv", "PRTA"), fields=OHLCV)
    assert {code for code, _ in by_code(findings)} == {"non_positive_prices"}
    assert (len(fit), fit.first_session) == (2821, date(2012, 12, 21))
    assert largest_move(fit) == pytest.approx(1.1642, abs=1e-3)
