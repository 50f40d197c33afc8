from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from app.errors import InvalidBars, NotEnoughHistory, SourceUnavailable, UnknownTicker
from app.prices.files import FilePrices

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TEXT = "Date,Open,High,Low,Close,Volume\n2026-11-18,1,3,0.5,2,9\n2026-11-19,1,3,0.5,2.5,9\n2026-11-20,1,3,0.5,3,9\n"


def source(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return FilePrices(folder)


def test_a_file_becomes_a_history(tmp_path):
    history = source(tmp_path, ABC=TEXT).history("ABC", now=NOW)
    assert (history.source, history.price_basis, history.currency) == ("files", "unknown", None)
    assert (len(history), history.last_session) == (3, date(2026, 11, 20))


def test_both_ends_are_included(tmp_path):
    history = source(tmp_path, ABC=TEXT).history("ABC", start=date(2026, 11, 19), end=date(2026, 11, 19), now=NOW)
    assert history.bars.close.tolist() == [2.5]


def test_a_session_still_running_has_no_bar_yet(tmp_path):
    prices = source(tmp_path, ABC=TEXT)
    assert prices.history("ABC", now=datetime(2026, 11, 20, 20, 59, tzinfo=UTC)).last_session == date(2026, 11, 19)
    assert prices.history("ABC", now=datetime(2026, 11, 20, 21, 0, tzinfo=UTC)).last_session == date(2026, 11, 20)


@pytest.mark.parametrize("ticker", ["^GSPC", "CL=F", "0100.HK", "BRK-B", "M&M.NS"])
def test_marks_in_tickers_are_fine_in_file_names(tmp_path, ticker):
    prices = source(tmp_path, **{ticker: TEXT})
    assert prices.tickers() == [ticker]
    assert len(prices.history(ticker, now=NOW)) == 3


def test_file_names_count_in_capitals(tmp_path):
    prices = source(tmp_path, abc=TEXT)
    assert prices.tickers() == ["ABC"]
    assert len(prices.history("ABC", now=NOW)) == 3


@pytest.mark.parametrize("ticker", ["../SECRET", "..", "/ETC/PASSWD", "A/B", "A\x00B", "", "abc", "A" * 16, ".HIDDEN"])
def test_a_ticker_never_leaves_the_folder(tmp_path, ticker):
    (tmp_path / "SECRET.csv").write_text(TEXT)
    inner = tmp_path / "prices"
    inner.mkdir()
    with pytest.raises(UnknownTicker):
        FilePrices(inner).history(ticker, now=NOW)


def test_a_ticker_without_a_file_is_unknown(tmp_path):
    with pytest.raises(UnknownTicker) as caught:
        source(tmp_path).history("ABC", now=NOW)
    assert caught.value.facts == {"ticker": "ABC", "source": "files"}


def test_a_folder_that_is_not_there_makes_the_source_unavailable(tmp_path):
    with pytest.raises(SourceUnavailable) as caught:
        FilePrices(tmp_path / "nowhere").tickers()
    assert str(tmp_path) not in caught.value.detail


def test_rows_that_cannot_be_read_refuse_the_file_with_their_lines(tmp_path):
    with pytest.raises(InvalidBars) as caught:
        source(tmp_path, ABC=TEXT + "2026-11-21,a,b,c,d,e\n").history("ABC", now=NOW)
    assert caught.value.facts["refused"][0]["line"] == 5
    assert caught.value.facts["have"] == 3


def test_an_empty_file_has_no_history(tmp_path):
    with pytest.raises(NotEnoughHistory) as caught:
        source(tmp_path, ABC="").history("ABC", now=NOW)
    assert caught.value.facts["have"] == 0
