"""Six weeks of an exchange's life: every evening bars, scores, forecasts; in the end the record is computed anew.

Two tickers come from a loopback Yahoo through the real client. On the way: a holiday, an early close, a split, a
dividend, an outage until after the next open, a session without a bar, and a bar restated after it was scored.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats
from sqlalchemy import text

from app.bootstrap import open_services
from app.domain.forecast import Forecast
from app.domain.score import Score
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.registry import chain, forecasts, scores, tickers
from app.sessions.calendars import Session, exchange_of, session_on, sessions_between
from app.settings import Settings
from tests.api.rows import add_version
from tests.db.databases import postgres_schema
from tests.support.yahoo_server import Bar, Listing, YahooServer, yahoo_server

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

NEW_YORK = exchange_of("MOON")
FIRST, LAST = date(2025, 11, 24), date(2025, 12, 31)
THANKSGIVING, DAY_AFTER = date(2025, 11, 27), date(2025, 11, 28)
SPLIT, RATIO = date(2025, 12, 3), 2.0
EX_DIVIDEND, DIVIDEND = date(2025, 12, 9), 3.0
OUTAGE, AFTER_OUTAGE = date(2025, 12, 11), date(2025, 12, 12)
SILENT = date(2025, 12, 16)
RESTATED, RESTATED_ON = date(2025, 12, 18), date(2025, 12, 22)
SPEC = {"features": ["close"], "window": 5}


@dataclass
class World:
    """What is traded, as traded, and how Yahoo tells it on a day: earlier bars adjusted for what has happened since."""

    closes: dict[date, float]
    splits: dict[date, float] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)

    def listing(self, today: date) -> Listing:
        days = [day for day in self.closes if day <= today]
        adjusted, bars = 1.0, []
        for n, day in reversed(list(enumerate(days))):
            later = np.prod([ratio for at, ratio in self.splits.items() if day < at <= today])
            close = self.closes[day] / later
            silent = day == SILENT
            prices = (None,) * 5 if silent else (close * 0.995, close * 1.01, close * 0.99, close, close * adjusted)
            bars.append(Bar(day, *prices, None if silent else 1000.0 + n))
            if day in self.dividends and n:
                adjusted *= 1 - self.dividends[day] / self.closes[days[n - 1]]
        known = {at: ratio for at, ratio in self.splits.items() if at <= today}
        paid = {at: amount for at, amount in self.dividends.items() if at <= today}
        session = session_on(NEW_YORK, today)
        assert session is not None
        return Listing(bars[::-1], splits=known, dividends=paid, open_until=session.close_at)


@dataclass
class Month:
    """The service, the world around it and what each evening's refresh said."""

    services: Services
    yahoo: YahooServer
    worlds: dict[str, World]
    now: datetime
    said: dict[date, dict[str, Any]] = field(default_factory=dict)

    def evening(self, session: Session) -> None:
        """Pass to when the refresh is due after the session's close, and run it."""
        self.now = session.close_at + self.services.refresh_delay
        self.refresh(session.day)

    def refresh(self, today: date) -> None:
        self.yahoo.listings = {ticker: world.listing(today) for ticker, world in self.worlds.items()}
        with self.services.database.read() as tx:
            due = tickers.due(tx, now=self.now)
        assert due == sorted(self.worlds)
        self.said[today] = refresh_tickers(due, services=self.services, report=lambda *_: None)


def traded(seed: int) -> World:
    days = sessions_between(NEW_YORK, date(2023, 6, 1), LAST)
    random = np.random.default_rng(seed)
    closes = 200.0 * np.exp(np.cumsum(0.015 * random.standard_t(5, len(days))))
    return World(dict(zip(days, closes.tolist(), strict=True)))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('registry') / 'morrow.db'}"
    else:
        yield from postgres_schema()


@pytest.fixture(scope="module")
def month(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    pytest.importorskip("yfinance", reason="the worker extra is not installed")
    moon, tide = traded(1), traded(2)
    for day in moon.closes:
        moon.closes[day] /= RATIO if day >= SPLIT else 1.0
    moon.splits[SPLIT], moon.dividends[EX_DIVIDEND] = RATIO, DIVIDEND
    with yahoo_server() as yahoo:
        home = tmp_path_factory.mktemp("home")
        settings = Settings(home=home, database_url=url, yahoo_base_url=yahoo.url, yahoo_timeout_seconds=5)
        lived: Month
        services = open_services(settings, clock=lambda: lived.now)
        opened = session_on(NEW_YORK, FIRST)
        assert opened is not None
        lived = Month(services, yahoo, {"MOON": moon, "TIDE": tide}, opened.open_at - timedelta(days=2))
        # A backtest in which the bands were too narrow: those displayed are wider from the first day on.
        pits = stats.norm.cdf(1.5 * np.random.default_rng(3).standard_normal(120)).tolist()
        told = {name: ["2025-01-02"] * len(pits) for name in ("session",)} | {"pit": pits}
        add_version(services, "MOON", spec=SPEC, source="yahoo", alias="champion", predictions=told)
        add_version(services, "TIDE", spec=SPEC, source="yahoo")
        live_through(lived)
        yield lived
        services.database.close()


def live_through(month: Month) -> None:
    for day in sessions_between(NEW_YORK, FIRST, LAST):
        session = session_on(NEW_YORK, day)
        assert session is not None
        if day == RESTATED_ON:
            month.worlds["MOON"].closes[RESTATED] *= 1.03
        month.yahoo.fail = "503" if day == OUTAGE else None
        if day == AFTER_OUTAGE:
            month.now = session.open_at + timedelta(minutes=30)
            month.refresh(OUTAGE)
        month.evening(session)


def record(month: Month, ticker: str) -> list[tuple[Forecast, Score]]:
    """All that was issued of the ticker beside what came, oldest first."""
    with month.services.database.read() as tx:
        issued = forecasts.history(tx, ticker, since=None, before=None, limit=1000)[::-1]
        came = scores.of_forecasts(tx, [forecast.forecast_id for forecast in issued])
    return [(forecast, came[forecast.forecast_id, 1, "close"]) for forecast in issued]


@dataclass
class Expected:
    """The record of one ticker computed from the server's last bars alone, by formulas of the textbooks."""

    world: World
    bars: dict[date, Bar]

    def actual(self, forecast: Forecast) -> float | None:
        as_of, target = self.bars[forecast.as_of_session], self.bars.get(forecast.steps[0].target_session)
        if target is None or target.close is None or target.adj_close is None or as_of.adj_close is None:
            return None
        splits = np.prod([ratio for at, ratio in self.world.splits.items() if at > forecast.as_of_session])
        reinvested = (target.adj_close / target.close) / (as_of.adj_close / as_of.close)
        return float(target.close * splits * reinvested)

    def scores(self, forecast: Forecast, actual: float) -> dict[str, float]:
        step = forecast.steps[0]
        said = stats.t(step.df, step.location, step.scale)
        move = log(actual / step.last_value)
        below = integrate.quad(lambda x: said.cdf(x) ** 2, -np.inf, move)[0]
        above = integrate.quad(lambda x: said.sf(x) ** 2, move, np.inf)[0]
        p = np.array([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99])
        quantiles = said.ppf(p)
        return {
            "error": step.last_value * exp(step.location) - actual,
            "persistence_error": step.last_value - actual,
            "crps": below + above,
            "pinball": float(np.mean(np.where(move > quantiles, p * (move - quantiles), (p - 1) * (move - quantiles)))),
            "pit": float(said.cdf(move)),
            "qlike": (ratio := max(move**2, 1e-8) / said.var()) - log(ratio) - 1,
        }

    def inside(self, forecast: Forecast, actual: float, level: float) -> tuple[bool, bool]:
        step = forecast.steps[0]
        said = stats.t(step.df, step.location, step.scale)
        shown = dict(forecast.bands.levels)[level]
        bounds = [[step.last_value * exp(q) for q in said.interval(p / 100)] for p in (level, shown)]
        raw, displayed = (low <= actual <= high for low, high in bounds)
        return raw, displayed


def test_the_record_of_a_month_is_what_its_bars_say(month: Month) -> None:
    sessions = sessions_between(NEW_YORK, FIRST, LAST)
    for ticker, world in month.worlds.items():
        expected = Expected(world, {bar.day: bar for bar in month.yahoo.listings[ticker].bars})
        kept = record(month, ticker)
        assert [score.target_session for _, score in kept if score.state == "missing"] == [SILENT]
        assert [score.target_session for _, score in kept if score.state == "pending"] == [date(2026, 1, 2)]
        for forecast, score in kept:
            actual = expected.actual(forecast)
            assert (score.state == "scored") == (actual is not None)
            if actual is None:
                continue
            assert score.actual == pytest.approx(actual, rel=1e-6)
            assert score.actual_close == pytest.approx(expected.bars[score.target_session].close, rel=1e-6)
            for name, value in expected.scores(forecast, actual).items():
                # The logarithm of a small move magnifies the last digits of a price.
                within = {"rel": 1e-5, "abs": 2e-6} if name != "qlike" else {"abs": 1e-3}
                assert getattr(score, name) == pytest.approx(value, **within), name
            for level in (80.0, 90.0, 95.0):
                held = score.inside[f"{level:g}"]
                assert (held["raw"], held["displayed"]) == expected.inside(forecast, actual, level)
        targets = [forecast.steps[0].target_session for forecast, _ in kept if forecast.origin == "live"]
        # Each session was forecast before it opened, but the one before which the source was down, and that which
        # followed a session without a bar.
        without = {sessions[0], AFTER_OUTAGE, date(2025, 12, 17)}
        assert set(targets) == {*sessions, date(2026, 1, 2)} - without


def test_every_evening_is_one_edition_and_counts_what_it_scored(month: Month) -> None:
    for day, said in month.said.items():
        if day in (OUTAGE, SILENT):
            continue
        assert (said["refreshed"], said["failed"]) == (["MOON", "TIDE"], []), day
        with month.services.database.read() as tx:
            latest = {
                forecast.edition
                for ticker in ("MOON", "TIDE")
                for forecast in forecasts.history(tx, ticker, since=day, before=None, limit=100)
                if forecast.as_of_session == day and forecast.edition == said["edition"]
            }
        assert latest == {said["edition"]}
    counted = {name: sum(said[name] for said in month.said.values()) for name in ("scored", "restated", "missing")}
    kept = [score for ticker in month.worlds for _, score in record(month, ticker)]
    assert counted["scored"] == sum(score.state == "scored" for score in kept)
    assert counted["missing"] == 2
    assert month.said[RESTATED_ON]["restated"] >= 1


def test_a_month_has_a_holiday_an_early_close_and_an_outage(month: Month) -> None:
    kept = record(month, "MOON")
    by_target = {score.target_session: forecast for forecast, score in kept if forecast.origin == "live"}
    assert THANKSGIVING not in by_target
    assert by_target[DAY_AFTER].as_of_session == date(2025, 11, 26)
    assert by_target[DAY_AFTER].steps[0].target_close_at.hour == 18
    late = [forecast for forecast, _ in kept if forecast.origin == "backfill"]
    assert [(one.as_of_session, one.steps[0].target_session) for one in late] == [(OUTAGE, AFTER_OUTAGE)]
    assert late[0].issued_at > late[0].steps[0].target_open_at
    with month.services.database.read() as tx:
        live = scores.record(tx, origin="live", ticker="MOON", version=1, window=1000)
        backfilled = scores.record(tx, origin="backfill", ticker="MOON", version=1, window=1000)
    assert AFTER_OUTAGE not in {score.target_session for score in live}
    assert [score.target_session for score in backfilled] == [AFTER_OUTAGE]


def test_neither_a_split_nor_a_dividend_is_an_error(month: Month) -> None:
    errors = {
        score.target_session: abs(score.error) / score.last_value
        for _, score in record(month, "MOON")
        if score.error is not None
    }
    assert max(errors[SPLIT], errors[EX_DIVIDEND]) < 0.1
    split = next(score for _, score in record(month, "MOON") if score.target_session == SPLIT)
    assert split.actual is not None and split.actual_close is not None
    assert split.actual / split.actual_close == pytest.approx(RATIO)


def test_displayed_bands_are_wider_where_earlier_ones_were_too_narrow(month: Month) -> None:
    (forecast, _), *_ = record(month, "MOON")
    assert dict(forecast.bands.levels)[80.0] > 85.0
    assert {entry.origin for entry in forecast.bands.kept} == {"backtest"}
    *_, (last, _) = record(month, "MOON")
    live = [entry for entry in last.bands.kept if entry.origin == "live"]
    came = [score for _, score in record(month, "MOON") if score.origin == "live" and score.state == "scored"]
    assert {entry.n for entry in live} == {len({score.target_session for score in came})}


def test_a_forecast_that_was_altered_is_named(month: Month, url: str, tmp_path: Path) -> None:
    def verify() -> subprocess.CompletedProcess[str]:
        env = os.environ | {"MORROW_HOME": str(tmp_path), "MORROW_DATABASE_URL": url}
        command = [sys.executable, "-m", "app", "verify"]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    sound = verify()
    assert sound.returncode == 0, sound.stderr
    victim = record(month, "MOON")[9][0]
    with month.services.database.write() as tx:
        number = chain.verify(tx).count
        assert f"{number} forecasts" in sound.stdout
        tx.execute(
            text("UPDATE forecasts SET issued_at = :early WHERE forecast_id = :victim"),
            {"early": str(victim.issued_at - timedelta(hours=20)), "victim": victim.forecast_id},
        )
    named = verify()
    assert named.returncode == 1
    assert victim.forecast_id in named.stderr and "altered" in named.stderr
