from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from app.bootstrap import open_services
from app.domain.history import Bars, PriceHistory
from app.errors import SourceUnavailable, UnknownTicker
from app.forecasting.services import Services
from app.settings import Settings

NOW = datetime(2024, 3, 6, 12, 0, tzinfo=UTC)


def make_bars(days: int, *, last: str = "2024-03-05", seed: int = 3) -> Bars:
    """Weekday bars ending with ``last``: a random walk with a daily range."""
    weekdays = np.busday_offset(np.datetime64(last), np.arange(1 - days, 1), roll="backward")
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(0.01 * random.standard_normal(days)))
    reach = np.exp(0.004 + 0.004 * random.random(days))
    return Bars(
        sessions=weekdays.astype("datetime64[D]"),
        open=close,
        high=close * reach,
        low=close / reach,
        close=close,
        adj_close=close,
        volume=np.full(days, 1e6),
    )


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class TestSource:
    """A source whose bars and outages the test decides."""

    __test__ = False
    name = "files"
    local = True

    def __init__(self) -> None:
        self.bars: dict[str, Bars] = {}
        self.outage: SourceUnavailable | None = None
        self.down: set[str] = set()
        self.asked: list[str] = []

    @property
    def questions(self) -> int:
        return len(self.asked)

    def tickers(self) -> list[str] | None:
        return sorted(self.bars)

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        self.asked.append(ticker)
        if self.outage:
            raise self.outage
        if ticker in self.down:
            raise SourceUnavailable("down")
        if ticker not in self.bars:
            raise UnknownTicker(f"No {ticker}.", ticker=ticker)
        return PriceHistory(ticker=ticker, source=self.name, bars=self.bars[ticker], currency="USD")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> TestSource:
    return TestSource()


@pytest.fixture
def services(tmp_path: Path, clock: Clock, source: TestSource) -> Iterator[Services]:
    from dataclasses import replace

    wired = open_services(Settings(home=tmp_path, train_threads=1), clock=clock)
    yield replace(wired, sources={"files": source})
    wired.database.close()
