from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from app.errors import InvalidBars, NotEnoughHistory
from app.prices.csv_text import RefusedRow, read_bars

YAHOO = b"Date,Open,High,Low,Close,Adj Close,Volume\n2020-01-02,1,3,0.5,2,1.9,100\n2020-01-03,2,4,1.5,3,2.9,200\n"


def read(text: str | bytes, ticker: str = "ABC"):
    history, refused = read_bars(text.encode() if isinstance(text, str) else text, ticker=ticker)
    assert refused == []
    return history.bars


def test_yahoos_columns():
    history, refused = read_bars(YAHOO, ticker="ABC")
    assert (history.ticker, history.source, refused) == ("ABC", "upload", [])
    assert history.first_session == date(2020, 1, 2)
    bars = history.bars
    assert bars.open.tolist() == [1, 2]
    assert bars.high.tolist() == [3, 4]
    assert bars.low.tolist() == [0.5, 1.5]
    assert bars.close.tolist() == [2, 3]
    assert bars.adj_close.tolist() == [1.9, 2.9]
    assert bars.volume.tolist() == [100, 200]
    assert bars.extra == {}


@pytest.mark.parametrize(
    "text",
    [
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\nABC.US,D,20200102,000000,1,3,0.5,2,100,0\n",
        "Date,Close/Last,Volume,Open,High,Low\n01/02/2020,$2.00,100,$1.00,$3.00,$0.50\n01/16/2020,$2.00,100,$1,$3,$0.5\n",
        "timestamp,open,high,low,close,adjusted_close,volume\n2020-01-02,1,3,0.5,2,1.9,100\n",
        "Date\tOpen\tHigh\tLow\tClose\tVolume\n2020-01-02 00:00:00-05:00\t1\t3\t0.5\t2\t100\n",
        "Date;Open;High;Low;Close;Volume\n02.01.2020;1,0;3,0;0,5;2,0;100\n31.01.2020;1,0;3,0;0,5;2,0;100\n",
        "https://www.example.org\nunix,date,symbol,open,high,low,close,Volume\n1,2020-01-02,ABC,1,3,0.5,2,100\n",
        ",Open,High,Low,Close,Volume\n2020-01-02,1,3,0.5,2,100\n",
        '"Jan 02, 2020"'.join(["Date,Open,High,Low,Close*,Adj Close**,Volume\n", ",1,3,0.5,2,1.9,100\n"]),
    ],
    ids=["stooq", "nasdaq", "alpha-vantage", "tabs-and-zones", "german", "preamble", "unnamed-index", "yahoo-page"],
)
def test_the_exports_people_have(text):
    bars = read(text)
    assert str(bars.sessions[0]) == "2020-01-02"
    first = [bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0]]
    assert first == [1, 3, 0.5, 2, 100]


def test_investings_words_for_numbers_and_its_byte_order_mark():
    text = (
        '\ufeff"Date","Price","Open","High","Low","Vol.","Change %"\n'
        '"31-01-2025","23,508.40","23,296.75","23,546.80","23,277.40","304.86M","1.11%"\n'
        '"30-01-2025","23,249.50","23,169.50","23,322.05","23,139.20","1.5B","-0.37%"\n'
        '"29-01-2025","23,163.10","23,026.75","23,183.35","22,976.50","-","0.90%"\n'
    )
    bars = read(text)
    assert bars.sessions.astype(str).tolist() == ["2025-01-31", "2025-01-30", "2025-01-29"]
    assert bars.close.tolist() == [23508.4, 23249.5, 23163.1]
    np.testing.assert_equal(bars.volume, [304.86e6, 1.5e9, np.nan])
    assert bars.extra["change"].tolist() == [1.11, -0.37, 0.9]


def test_yfinances_three_header_rows():
    text = "Price,Close,High,Low,Open,Volume\nTicker,ABC,ABC,ABC,ABC,ABC\nDate,,,,,\n2021-06-24,2,3,0.5,1,100\n"
    bars = read(text)
    assert [bars.open[0], bars.close[0], bars.volume[0]] == [1, 2, 100]


def test_of_yfinances_several_tickers_the_asked_one_is_taken():
    text = "Price,Close,Close,Volume,Volume\nTicker,XYZ,ABC,XYZ,ABC\nDate,,,,\n2021-06-24,9,2,900,100\n"
    assert read(text).close.tolist() == [2]
    with pytest.raises(InvalidBars) as caught:
        read(text, "QQQ")
    assert caught.value.facts["found"] == ["ABC", "XYZ"]


@pytest.mark.parametrize("name", ["Stock", "Ticker", "Symbol", "Name"])
def test_of_stacked_tickers_the_rows_of_the_asked_one_are_taken(name):
    text = f"Date,Close,{name}\n2020-01-02,1,ABC\n2020-01-03,2,ABC\n2020-01-02,8,XYZ\n2020-01-03,9,XYZ\n"
    assert read(text, "XYZ").close.tolist() == [8, 9]
    with pytest.raises(InvalidBars) as caught:
        read(text, "QQQ")
    assert caught.value.facts["found"] == ["ABC", "XYZ"]


def test_a_pair_is_recognised_however_it_is_written():
    assert read("Date,Symbol,Close\n2020-01-02,BTC/USD,7000\n", "BTC-USD").close.tolist() == [7000]


def test_bitcoin_columns_become_volume_and_extras():
    text = (
        "Date,Open,High,Low,Close,Volume (BTC),Volume (Currency),Weighted Price\n2014-01-07,1,3,0.5,2,15.5,13151,1.7\n"
    )
    bars = read(text)
    assert bars.volume.tolist() == [15.5]
    assert bars.extra["volume_currency"].tolist() == [13151]
    assert bars.extra["weighted_price"].tolist() == [1.7]


def test_unknown_columns_stay_when_they_are_numbers():
    bars = read("Date,Close,Open Interest,Comment\n2020-01-02,2,55,fine\n2020-01-03,3,-,\n")
    np.testing.assert_equal(bars.extra["open_interest"], [55, np.nan])
    assert "comment" not in bars.extra


@pytest.mark.parametrize("nothing", ["", "null", "NaN", "-", "N/A", "nan"])
def test_missing_values_are_nan(nothing):
    bars = read(f"Date,Open,Close\n2020-01-02,{nothing},2\n")
    assert np.isnan(bars.open[0])
    assert np.isnan(bars.volume[0])


def test_a_day_above_twelve_decides_between_day_and_month():
    assert str(read("Date,Close\n13/01/2020,1\n02/01/2020,2\n").sessions[1]) == "2020-01-02"
    assert str(read("Date,Close\n01/13/2020,1\n02/01/2020,2\n").sessions[1]) == "2020-02-01"


def test_without_one_the_order_of_days_decides():
    assert str(read("Date,Close\n01/02/2020,1\n01/03/2020,2\n01/06/2020,3\n").sessions[2]) == "2020-01-06"
    assert str(read("Date,Close\n06/01/2020,1\n03/01/2020,2\n02/01/2020,3\n").sessions[0]) == "2020-01-06"


def test_where_nothing_decides_the_dates_are_refused():
    with pytest.raises(InvalidBars, match="Day and month"):
        read("Date,Close\n03/04/2020,1\n")


def test_rows_that_cannot_be_read_come_back_with_line_and_reason():
    text = (
        "Date,Open,Close,Volume\n2020-01-02,1,2,5\n2020-01-03,1,=2+2,5\nsoon,1,2,5\n2020-01-06,1\n2020-01-07,1,2,inf\n"
    )
    history, refused = read_bars(text.encode(), ticker="ABC")
    assert len(history) == 1
    assert [row.line for row in refused] == [3, 4, 5, 6]
    assert refused[0] == RefusedRow(3, "close: '=2+2' is not a number")
    assert "not a date" in refused[1].reason
    assert "2 cells where 4" in refused[2].reason


def test_footnotes_and_blank_lines_are_no_rows():
    assert len(read("Date,Open,Close\n\n2020-01-02,1,2\n\nSource: somewhere\n")) == 1


def test_nothing_at_all_is_not_enough():
    for data in (b"", b"  \n", b"Date,Open,High,Low,Close,Volume\n"):
        with pytest.raises(NotEnoughHistory) as caught:
            read_bars(data, ticker="ABC")
        assert caught.value.facts["have"] == 0


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\n\n<!DOCTYPE html>\n<html><head></head></html>", "HTML"),
        (b'<meta charset="utf-8"><body class="x">', "HTML"),
        (b'{"chart": null}', "JSON"),
        (b"PK\x03\x04\x00\x00\x00", "binary"),
        (b"hello\nworld\n", "No header"),
        (b"Date,Close,Close\n2020-01-02,1,2\n", "Two columns"),
        (b"Date,Close\nx,1\ny,2\n", "No date"),
    ],
)
def test_what_is_no_table_of_bars_is_refused_by_name(data, word):
    with pytest.raises(InvalidBars, match=word):
        read_bars(data, ticker="ABC")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(end):
    text = end.join(["Date,Close", "2024-01-02,1.5", "2024-01-03,1.6", ""])
    history, refused = read_bars(text.encode(), ticker="A")
    assert (history.bars.close.tolist(), refused) == ([1.5, 1.6], [])


@pytest.mark.parametrize("cell", ["a\rb", "x" * 200_000], ids=["a line end", "endless"])
def test_what_no_reader_of_csv_can_read_is_refused(cell):
    with pytest.raises(InvalidBars, match="No header"):
        read_bars(f"{cell}\n1,2".encode(), ticker="A")


def test_other_encodings_are_read():
    text = YAHOO.decode()
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        assert len(read(text.encode(encoding))) == 2


def test_a_stray_comma_does_not_turn_a_file_german():
    history, refused = read_bars(b'Date,Open,Close\n2020-01-02,"1,234.50",2.5\n2020-01-03,"12,3",2.5\n', ticker="ABC")
    assert history.bars.open.tolist() == [1234.5]
    assert refused[0].line == 3
