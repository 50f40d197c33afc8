from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

import pytest
import yfinance
from yfinance.data import YfData

from app.domain.history import Action
from app.errors import SourceRateLimited, SourceUnavailable, UnknownTicker
from app.prices.yahoo import YahooPrices
from app.prices.yahoo_session import YahooSession
from tests.prices.making import sessions_of
from tests.support.yahoo_server import Bar, Listing, bars_of, bars_of_csv, yahoo_server

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAYS = sessions_of("ABC", 15, start=date(2026, 11, 2))
MOST_CHARTS = 8  # three attempts and their client's own second tries


def listing(**facts):
    return Listing(bars_of(DAYS, [100.0 + n for n in range(15)]), **facts)


@pytest.fixture
def server():
    with yahoo_server({"ABC": listing()}) as running:
        running.hang_seconds = 3.0
        yield running


@pytest.fixture
def prices(server, tmp_path):
    return YahooPrices(server.url, tmp_path / "cache", timeout_seconds=5.0)


def test_a_history_with_everything_that_yahoo_knows(server, prices):
    server.listings["ABC"] = listing(splits={DAYS[3]: 2.0}, dividends={DAYS[5]: 0.25})
    history = prices.history("ABC", now=NOW)
    assert (history.source, history.price_basis) == ("yahoo", "split_adjusted")
    assert (history.currency, history.timezone, history.instrument) == ("USD", "America/New_York", "EQUITY")
    assert history.bars.sessions.astype(object).tolist() == DAYS
    assert history.bars.close.tolist() == [100.0 + n for n in range(15)]
    assert history.bars.volume[0] == 1000
    assert history.actions == (
        Action(session=DAYS[3], kind="split", value=2.0),
        Action(session=DAYS[5], kind="dividend", value=0.25),
    )


def test_close_is_not_adjusted_for_dividends(server, prices):
    server.listings["ABC"] = Listing([Bar(day, 9, 11, 8, 10.0, 8.0, 5) for day in DAYS])
    bars = prices.history("ABC", now=NOW).bars
    assert set(bars.close.tolist()) == {10.0}
    assert set(bars.adj_close.tolist()) == {8.0}


def test_both_ends_are_included(prices):
    history = prices.history("ABC", start=DAYS[4], end=DAYS[6], now=NOW)
    assert (history.first_session, history.last_session, len(history)) == (DAYS[4], DAYS[6], 3)


@pytest.mark.parametrize(
    ("ticker", "zone", "instrument"),
    [
        ("^GSPC", "America/New_York", "INDEX"),
        ("M&M.NS", "Asia/Kolkata", "EQUITY"),
        ("CL=F", "America/New_York", "FUTURE"),
    ],
)
def test_sessions_are_the_exchanges_own_days(server, prices, ticker, zone, instrument):
    server.listings[ticker] = listing(timezone=zone, instrument=instrument, currency="INR")
    history = prices.history(ticker, now=NOW)
    assert history.bars.sessions.astype(object).tolist() == DAYS
    assert (history.timezone, history.instrument, history.currency) == (zone, instrument, "INR")


def test_the_bar_of_a_running_session_is_left_out(prices):
    assert prices.history("ABC", now=datetime(2026, 11, 20, 20, 59, tzinfo=UTC)).last_session == date(2026, 11, 19)
    assert prices.history("ABC", now=datetime(2026, 11, 20, 21, 0, tzinfo=UTC)).last_session == date(2026, 11, 20)


def test_yahoos_own_word_that_a_session_runs_late_counts_too(server, prices):
    server.listings["ABC"] = listing(open_until=datetime(2026, 11, 20, 23, 0, tzinfo=UTC))
    assert prices.history("ABC", now=datetime(2026, 11, 20, 22, 0, tzinfo=UTC)).last_session == date(2026, 11, 19)
    assert prices.history("ABC", now=datetime(2026, 11, 20, 23, 0, tzinfo=UTC)).last_session == date(2026, 11, 20)


def test_the_next_days_bar_is_seen_when_it_is_there(server, prices):
    assert len(prices.history("ABC", now=NOW)) == 15
    server.listings["ABC"].append(Bar(date(2026, 11, 23), 1, 2, 1, 2.0, 2.0, 7))
    assert len(prices.history("ABC", now=NOW + timedelta(days=2))) == 16


def test_null_rows_are_left_out(server, prices):
    server.listings["ABC"].bars[4] = Bar(DAYS[4], None, None, None, None, None, None)
    assert DAYS[4] not in prices.history("ABC", now=NOW).bars.sessions.astype(object)


@pytest.mark.parametrize(
    ("failure", "known"),
    [(failure, True) for failure in ("500", "503", "html", "truncated", "drop", "empty")]
    + [(failure, False) for failure in ("500", "truncated")],
)
def test_an_outage_is_the_sources_fault_and_over_when_it_is_over(server, prices, failure, known):
    if known:
        prices.history("ABC", now=NOW)
        server.requests.clear()
    server.fail = failure
    heard = failure != "drop"
    with pytest.raises(SourceUnavailable, match="is of no use" if heard else "did not answer") as caught:
        prices.history("ABC", now=NOW)
    assert not isinstance(caught.value, SourceRateLimited)
    assert caught.value.facts["ticker"] == "ABC"
    assert 2 <= server.charts <= MOST_CHARTS
    server.fail = None
    assert len(prices.history("ABC", now=NOW)) == 15


@pytest.mark.parametrize("failure", ["500", "429", "unknown"])
def test_failures_about_past_days_do_not_stick(server, prices, failure):
    prices.history("ABC", now=NOW)
    server.fail = failure
    with pytest.raises((SourceUnavailable, UnknownTicker)):
        prices.history("ABC", start=DAYS[0], end=DAYS[3], now=NOW)
    server.fail = None
    assert len(prices.history("ABC", start=DAYS[0], end=DAYS[3], now=NOW)) == 4


def test_a_hiccup_is_not_noticed(server, prices):
    answers = iter(["503", "503"])
    server.fail = lambda path, query: next(answers, None)
    assert len(prices.history("ABC", now=NOW)) == 15


def test_a_rate_limit_is_told_at_once(server, prices):
    server.fail = "429"
    with pytest.raises(SourceRateLimited):
        prices.history("ABC", now=NOW)
    assert server.charts <= 2


def test_after_a_refusal_nothing_more_is_asked(server, prices):
    server.fail, server.fail_all, server.retry_after = "429", True, "77"
    with pytest.raises(SourceRateLimited) as caught:
        prices.history("ABC", now=NOW)
    assert len(server.requests) == 1
    assert caught.value.facts["retry_after_seconds"] == 77


def test_the_requests_of_a_process_are_spaced_however_many_questions_there_are(server, tmp_path):
    spaced = YahooPrices(server.url, tmp_path / "cache", timeout_seconds=5.0, requests_per_second=8)
    began = time.monotonic()
    for _ in range(2):
        spaced.history("ABC", now=NOW)
    assert time.monotonic() - began >= (len(server.requests) - 1) / 8


def test_the_wait_for_a_turn_is_not_taken_for_the_servers(server, tmp_path):
    slow = YahooPrices(server.url, tmp_path / "cache", timeout_seconds=0.5, requests_per_second=1)
    assert len(slow.history("ABC", now=NOW)) == 15
    assert len(server.requests) >= 2  # each with a second between them, in a call of one


def test_an_unknown_symbol_is_confirmed_by_a_second_question(server, prices):
    with pytest.raises(UnknownTicker) as caught:
        prices.history("NOPE", now=NOW)
    assert caught.value.facts == {"ticker": "NOPE", "source": "yahoo"}
    assert 2 <= server.charts <= MOST_CHARTS


def test_a_symbol_denied_once_is_not_unknown(server, prices):
    denials = iter(["unknown", "unknown"])
    server.fail = lambda path, query: next(denials, None)
    assert len(prices.history("ABC", now=NOW)) == 15


def test_an_answer_about_another_symbol_is_not_believed(server, prices):
    server.listings["ABC"] = listing(symbol="XYZ")
    with pytest.raises(SourceUnavailable, match="XYZ"):
        prices.history("ABC", now=NOW)


@pytest.mark.parametrize("everything", [False, True])
def test_a_server_that_hangs_is_given_up_in_time(server, tmp_path, everything):
    server.fail, server.fail_all = "hang", everything
    with pytest.raises(SourceUnavailable, match="did not answer"):
        YahooPrices(server.url, tmp_path, timeout_seconds=0.3).history("ABC", now=NOW)
    assert len(server.requests) <= 4


def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    with pytest.raises(SourceUnavailable, match="did not answer"):
        YahooPrices("http://127.0.0.1:9", tmp_path, timeout_seconds=2.0).history("ABC", now=NOW)


@pytest.mark.parametrize("ticker", ["../../v1/x", "", "A B", "abc", "A" * 16, "A%2F", "A?x=1", "A\n"])
def test_what_is_no_ticker_never_becomes_a_url(server, prices, ticker):
    with pytest.raises(UnknownTicker):
        prices.history(ticker, now=NOW)
    assert server.requests == []


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, "https://example.org/v8/finance/chart/ABC"),
        (None, "https://yahoo.com.example.org/"),
        ("http://127.0.0.1:9", "https://example.org/"),
    ],
)
def test_no_other_host_is_ever_asked(base, url):
    session = YahooSession(base, timeout_seconds=1.0)
    session.begin(deadline=time.monotonic() + 5)
    with pytest.raises(ConnectionError, match="not Yahoo's"):
        session.get(url)


def test_a_session_whose_time_is_used_up_asks_nothing(server):
    session = YahooSession(server.url, timeout_seconds=1.0)
    session.begin(deadline=time.monotonic() - 1)
    with pytest.raises(TimeoutError):
        session.get("https://query2.finance.yahoo.com/v8/finance/chart/ABC")
    assert server.requests == []


def test_the_cache_folder_is_private(prices, tmp_path):
    prices.history("ABC", now=NOW)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


@pytest.fixture
def fresh_client():
    """The client keeps its caches for as long as the process lives: this test has its own."""
    forget_caches()
    yield
    forget_caches()


def forget_caches():
    yfinance.cache._TzCacheManager._tz_cache = yfinance.cache._CookieCacheManager._Cookie_cache = None
    YfData()._cookie = YfData()._crumb = None


@pytest.mark.parametrize("damaged", ["tkr-tz.db", "cookies.db"])
def test_damaged_files_of_the_cache_are_no_outage(fresh_client, server, prices, tmp_path, damaged):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / damaged).write_bytes(b"no database at all, whatever it is called\n" * 500)
    assert len(prices.history("ABC", now=NOW)) == 15
    assert len(prices.history("ABC", now=NOW)) == 15


def test_a_cache_that_cannot_be_made_is_no_outage(fresh_client, server, prices, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert len(prices.history("ABC", now=NOW)) == 15


def test_yahoos_tickers_cannot_be_listed(prices):
    assert prices.tickers() is None
    assert (prices.name, prices.local) == ("yahoo", False)


def test_the_server_reads_a_folder_of_csv_files(tmp_path):
    lines = ["Date,Open,High,Low,Close,Adj Close,Volume", "2026-11-19,1,3,0.5,2,1.9,9", "2026-11-20,1,3,0.5,2.5,2.4,9"]
    (tmp_path / "XYZ.csv").write_text("\n".join(lines))
    assert bars_of_csv(tmp_path / "XYZ.csv")[1].adj_close == 2.4
    with yahoo_server(folder=tmp_path) as server:
        history = YahooPrices(server.url, tmp_path / "cache").history("XYZ", now=NOW)
    assert history.bars.close.tolist() == [2.0, 2.5]
