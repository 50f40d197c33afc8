"""A source that is down is left alone by all who share a registry; the last good bars stand in, marked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from app.bootstrap import open_services
from app.db.engine import Database
from app.domain.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, Patience
from app.domain.history import PriceHistory
from app.domain.spec import NetworkSpec
from app.errors import AppError, InvalidBars, SourceRateLimited, SourceUnavailable, UnknownTicker
from app.forecasting.guarded_prices import GuardedPrices
from app.forecasting.market_data import Feed, latest_bars
from app.forecasting.services import Services
from app.registry import source_state, tickers
from app.settings import Settings
from tests.db.databases import database, database_url, migrated_file, migrated_schema
from tests.prices.making import sessions_of, walk
from tests.support.yahoo_server import Bar, Listing, YahooServer, bars_of, yahoo_server

__all__ = ["database", "database_url", "migrated_file", "migrated_schema"]

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAYS = sessions_of("ABC", 15, start=date(2026, 11, 2))
PATIENCE = Patience()
MANY = [f"T{number}" for number in range(500)]
MOST_REQUESTS = 16 * PATIENCE.failures  # a question of three tries, each with a cookie, a crumb and the client's own


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, duration: timedelta) -> None:
        self.now += duration


class Moody:
    """A source that does what the test says, and counts."""

    name = "yahoo"
    local = False

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        self.asked = 0

    def tickers(self) -> None:
        return None

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        self.asked += 1
        self.meanwhile()
        if self.error:
            raise self.error
        return walk(ticker=ticker)


@pytest.fixture(autouse=True)
def _by_the_clock_of_the_test(monkeypatch):
    monkeypatch.setattr(Database, "now", lambda self, tx: None)  # PostgreSQL has one of its own


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> Moody:
    return Moody()


@pytest.fixture
def prices(database: Database, source: Moody, clock: Clock) -> GuardedPrices:
    return GuardedPrices(source, database, patience=PATIENCE, clock=clock)


def ask(prices: GuardedPrices, clock: Clock, *, times: int = 1) -> list[str]:
    said = []
    for _ in range(times):
        try:
            prices.history("ABC", now=clock())
        except (SourceUnavailable, UnknownTicker) as error:
            said.append(error.code)
        else:
            said.append("bars")
    return said


def breaker(database: Database) -> Breaker:
    with database.read() as tx:
        return source_state.get(tx, "yahoo")


def test_an_outage_costs_a_few_questions_and_the_breaker_is_seen_by_others(database, prices, source, clock):
    source.error = SourceUnavailable("down", ticker="ABC")
    assert set(ask(prices, clock, times=100)) == {"source_unavailable"}
    assert source.asked == PATIENCE.failures
    other = GuardedPrices(source, database, patience=PATIENCE, clock=clock)
    assert ask(other, clock) == ["source_unavailable"]
    assert source.asked == PATIENCE.failures
    with pytest.raises(SourceUnavailable) as caught:
        prices.history("ABC", now=clock())
    assert caught.value.facts["retry_after_seconds"] == PATIENCE.first_pause.total_seconds()


def test_a_probe_finds_out_that_the_source_is_back(database, prices, source, clock):
    source.error = SourceRateLimited("patience", retry_after_seconds=60)
    assert ask(prices, clock, times=3) == ["source_rate_limited"] * 3
    assert (source.asked, breaker(database).state) == (1, OPEN)
    clock.pass_by(timedelta(seconds=60))
    assert ask(prices, clock) == ["source_rate_limited"]
    assert source.asked == 2
    source.error = None
    clock.pass_by(timedelta(seconds=60))
    assert ask(prices, clock, times=2) == ["bars"] * 2
    assert breaker(database) == Breaker()


def test_only_one_of_many_probes(database, prices, source, clock):
    source.error = SourceRateLimited("patience")
    ask(prices, clock)
    clock.pass_by(PATIENCE.longest_pause)
    with ThreadPoolExecutor(8) as pool:
        said = [word for words in pool.map(lambda _: ask(prices, clock), range(24)) for word in words]
    assert said == ["source_rate_limited"] * 24
    assert source.asked == 2


def test_a_probe_that_died_is_followed_by_another(database, prices, source, clock):
    source.error = SourceRateLimited("patience")
    ask(prices, clock)
    clock.pass_by(PATIENCE.longest_pause)
    source.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        prices.history("ABC", now=clock())
    source.error = None
    assert (breaker(database).state, ask(prices, clock)) == (HALF_OPEN, ["source_rate_limited"])
    clock.pass_by(PATIENCE.probe)
    assert ask(prices, clock) == ["bars"]
    assert breaker(database).state == CLOSED


@pytest.mark.parametrize("late", [None, SourceUnavailable("down"), SourceRateLimited("patience")])
def test_what_was_asked_before_says_nothing_of_a_source_that_is_being_tried(database, prices, source, clock, late):
    slow, begun, may_end, states = Moody(), threading.Event(), threading.Event(), []
    slow.error, slow.meanwhile = late, lambda: begun.set() or may_end.wait(30)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, GuardedPrices(slow, database, patience=PATIENCE, clock=clock), clock)
        assert begun.wait(30)
        source.error = SourceRateLimited("patience")
        ask(prices, clock)
        clock.pass_by(PATIENCE.longest_pause)

        def hear_it_while_trying() -> None:
            may_end.set()
            states.extend((asked.result(30), breaker(database).state))

        source.error, source.meanwhile = None, hear_it_while_trying
        assert ask(prices, clock) == ["bars"]
    assert states == [[late.code if late else "bars"], HALF_OPEN]
    assert breaker(database) == Breaker()


def test_an_unknown_ticker_is_an_answer_but_what_is_no_ticker_is_none(database, prices, source, clock):
    source.error = SourceRateLimited("patience")
    ask(prices, clock)
    clock.pass_by(PATIENCE.longest_pause)
    with pytest.raises(UnknownTicker):
        prices.history("../x", now=clock())
    assert (source.asked, breaker(database).state) == (1, OPEN)
    source.error = UnknownTicker("never heard of", ticker="ABC")
    assert ask(prices, clock) == ["unknown_ticker"]
    assert breaker(database).state == CLOSED


def test_a_source_that_answers_costs_no_write(database, prices, clock):
    ask(prices, clock, times=3)
    with database.read() as tx:
        assert source_state.known(tx) == {}


@pytest.fixture
def yahoo() -> Iterator[YahooServer]:
    listings = {name: Listing(bars_of(DAYS, [100.0 + n for n in range(15)])) for name in ("ABC", *MANY)}
    with yahoo_server(listings) as server:
        server.hang_seconds = 3.0
        yield server


@pytest.fixture
def services(tmp_path: Path, yahoo: YahooServer, clock: Clock) -> Iterator[Services]:
    wired = open_services(
        Settings(home=tmp_path, yahoo_base_url=yahoo.url, yahoo_timeout_seconds=0.5, yahoo_requests_per_second=1000),
        clock=clock,
    )
    yield wired
    wired.database.close()


def fail(yahoo: YahooServer, fault: str) -> None:
    if fault == "wrong symbol":
        yahoo.listings["ABC"].symbol = "XYZ"
    else:
        yahoo.fail = fault


def heal(yahoo: YahooServer) -> None:
    yahoo.fail = yahoo.listings["ABC"].symbol = None


@pytest.mark.parametrize(
    "fault", ["429", "500", "503", "hang", "drip", "truncated", "html", "drop", "empty", "wrong symbol"]
)
def test_every_outage_leaves_the_last_good_bars_marked_and_is_over_when_it_is_over(services, yahoo, clock, fault):
    good = latest_bars("ABC", "yahoo", services=services)
    yahoo.requests.clear()
    fail(yahoo, fault)
    code = "source_rate_limited" if fault == "429" else "source_unavailable"
    old = latest_bars("ABC", "yahoo", services=services)
    assert (old.snapshot_id, old.outage["code"]) == (good.snapshot_id, code)
    with services.database.read() as tx:
        known = tickers.get(tx, "ABC")
        assert (known["source_ok"], known["source_error"]["code"]) == (False, code)
    assert len(yahoo.requests) <= MOST_REQUESTS / PATIENCE.failures
    heal(yahoo)
    clock.pass_by(PATIENCE.longest_pause)
    assert latest_bars("ABC", "yahoo", services=services).outage is None
    with services.database.read() as tx:
        assert tickers.get(tx, "ABC")["source_ok"] is True
        assert source_state.get(tx, "yahoo") == Breaker()


def test_one_outage_after_the_other_opens_the_breaker_and_the_last_good_bars_stand(services, yahoo, clock):
    good = latest_bars("ABC", "yahoo", services=services)
    yahoo.fail = "503"
    said = [latest_bars("ABC", "yahoo", services=services) for _ in range(PATIENCE.failures + 2)]
    assert {bars.snapshot_id for bars in said} == {good.snapshot_id}
    assert ["retry_after_seconds" in bars.outage for bars in said] == [False] * PATIENCE.failures + [True] * 2
    yahoo.fail = None
    assert latest_bars("ABC", "yahoo", services=services).outage["retry_after_seconds"] > 0
    clock.pass_by(PATIENCE.first_pause)
    assert latest_bars("ABC", "yahoo", services=services).outage is None


def with_row(bars: list[Bar], row: int, **values: float | None) -> list[Bar]:
    return [*bars[:row], replace(bars[row], **values), *bars[row:][1:]]


NULL = dict.fromkeys(("open", "high", "low", "close", "adj_close"))
ZERO = dict.fromkeys(NULL, 0.0)


@pytest.mark.parametrize(
    ("sent", "usable"),
    [
        (lambda bars: with_row(bars, -1, **NULL), 299),
        (lambda bars: with_row(bars, 50, close=None), 299),
        (lambda bars: with_row(bars, -1, **ZERO), 299),
        (lambda bars: with_row(bars, 50, close=-5.0), "invalid_bars"),
        (lambda bars: [*bars[:50], bars[49], *bars[50:]], 300),
        (lambda bars: bars[::-1], 300),
        (lambda bars: bars[:2], 2),
        (lambda bars: bars[:1], "not_enough_history"),
    ],
    ids=["null", "NaN close", "zero", "negative", "duplicate day", "unsorted days", "two rows", "one row"],
)
def test_odd_bars_are_mended_or_refused_and_neither_is_an_outage(services, yahoo, sent, usable):
    days = sessions_of("ABC", 300, start=date(2025, 6, 2))
    bars = bars_of(days, [100 + 0.1 * n for n in range(300)])
    yahoo.listings["ABC"] = Listing(sent(bars), as_is=True)
    got = latest_bars("ABC", "yahoo", services=services)
    assert got.outage is None
    assert yahoo.charts <= 2
    try:
        history = got.audited_for(NetworkSpec()).history
    except AppError as error:
        assert error.code == usable
    else:
        assert len(history) == usable
        assert (history.bars.close > 0).all()
        assert (history.bars.sessions[1:] > history.bars.sessions[:-1]).all()
    yahoo.listings["ABC"] = Listing(bars)
    assert len(latest_bars("ABC", "yahoo", services=services).audited_for(NetworkSpec()).history) == 300


@pytest.mark.parametrize("adjusted", [True, False])
def test_a_split_of_today_is_taken_when_the_past_is_adjusted_and_refused_when_it_is_not(services, yahoo, adjusted):
    days = sessions_of("ABC", 300, start=date(2025, 6, 2))
    closes = [100 + 0.1 * n for n in range(300)]
    if not adjusted:
        closes[-1] /= 4
    yahoo.listings["ABC"] = Listing(bars_of(days, closes), splits={days[-1]: 4.0})
    got = latest_bars("ABC", "yahoo", services=services)
    assert (got.outage, got.history.actions[-1].value) == (None, 4.0)
    if adjusted:
        assert len(got.audited_for(NetworkSpec()).history) == 300
    else:
        with pytest.raises(InvalidBars, match="split 4:1"):
            got.audited_for(NetworkSpec())


@pytest.mark.parametrize(("fault", "questions"), [("429", 1), ("500", PATIENCE.failures)])
def test_a_refresh_of_five_hundred_tickers_in_an_outage_asks_a_few_times(services, yahoo, fault, questions):
    yahoo.fail = fault
    feed = Feed(services)
    said = []
    for ticker in MANY:
        with pytest.raises(SourceUnavailable) as caught:
            feed.bars(ticker, "yahoo")
        said.append(caught.value)
    assert sum("retry_after_seconds" not in error.facts for error in said) == questions
    asked = {path for path in yahoo.requests if "/chart/" in path}
    assert len(asked) == questions
    assert len(yahoo.requests) <= MOST_REQUESTS


@pytest.mark.parametrize("form", ["seconds", "date", "nonsense"])
def test_yahoos_own_word_of_how_long_to_wait_is_kept(services, yahoo, form):
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1))
    yahoo.fail, yahoo.retry_after = "429", {"seconds": "3600", "date": in_an_hour, "nonsense": "soon"}[form]
    with pytest.raises(SourceRateLimited):
        latest_bars("ABC", "yahoo", services=services)
    with pytest.raises(SourceRateLimited) as caught:
        latest_bars("ABC", "yahoo", services=services)
    expected = PATIENCE.longest_pause.total_seconds() if form == "nonsense" else 3600
    assert caught.value.facts["retry_after_seconds"] == pytest.approx(expected, abs=10)
