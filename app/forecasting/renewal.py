"""One ticker's share of a refresh: what it serves is scored by the bars that came, and forecast anew."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

from app.domain.forecast import Forecast
from app.domain.spec import NetworkSpec
from app.domain.version import ModelVersion
from app.errors import AppError, CorruptArtifact, CorruptRecord, NoSuchVersion, SourceUnavailable
from app.forecasting.drift import check_drift
from app.forecasting.fall_back import Before, Files, champions_before, is_damaged
from app.forecasting.forecast import forecast_to_serve
from app.forecasting.market_data import Feed
from app.forecasting.scoring import Settled, settle_ticker
from app.forecasting.services import Services
from app.prices.base import UPLOAD
from app.registry import forecasts, versions
from app.registry.readable import readable


@dataclass(frozen=True, kw_only=True)
class Due:
    """What one ticker serves: the versions that aliases point to, and the baseline (``None``) without a champion.

    ``orders`` say for each which bars it reads: the baseline those of the newest version. Both are empty where no
    version is left and forecasts still wait for their scores.
    """

    ticker: str
    versions: tuple[ModelVersion | None, ...]
    orders: tuple[Mapping[str, Any], ...]

    @property
    def sources(self) -> set[str]:
        """Where the bars come from that are read to forecast."""
        with readable(f"The order of a version of {self.ticker}"):
            return {str(order["data"]["source"]) for order in self.orders}


@dataclass(frozen=True, kw_only=True)
class NewForecast:
    """A forecast that is not stored yet, the version that made it, and how far that one's world has moved."""

    forecast: Forecast
    version: ModelVersion | None
    drift: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one ticker: what is new, what was settled, what went wrong.

    ``outage`` is the problem of its source, when that was ``asked`` and did not answer. ``files`` says what became
    known of the versions' files.
    """

    ticker: str
    fresh: list[NewForecast]
    settled: Settled
    problems: list[dict[str, Any]]
    asked: bool
    outage: dict[str, Any] | None
    files: Files


Outcomes = Generator[Outcome, None, None]


class RenewAll(Protocol):
    """Renews many tickers; the outcomes come in the order of the tickers. Close it when you want no more of them."""

    def __call__(self, due: Sequence[Due], *, services: Services) -> Outcomes:
        """Renew all that is ``due``.

        Raises:
            WorkerLost: a process that did a part of it died; try again later.
        """


def renew_in_turn(due: Sequence[Due], *, services: Services) -> Outcomes:
    """Renew one ticker after the other, here."""
    feed = Feed(services)
    for one in due:
        yield renew(one, feed, services=services)


def renew(due: Due, feed: Feed, *, services: Services) -> Outcome:
    """Score and forecast one ticker; what it has in common with others comes from the ``feed`` of all."""
    try:
        # Scores first: what came today calibrates what is said of tomorrow.
        settled = settle_ticker(due.ticker, feed, sources=due.sources, services=services)
    except CorruptRecord as error:
        settled = Settled(problems=(error.to_problem(),))
    return _forecasts(due, settled, feed, services=services)


def _forecasts(due: Due, settled: Settled, feed: Feed, *, services: Services) -> Outcome:
    turns = _Turns(due.ticker, feed, services)
    for version, order in zip(due.versions, due.orders, strict=True):
        turns.take(version, order)
    files = turns.files_with_stand_in() if turns.damaged else Files(mended=tuple(turns.mended))
    return Outcome(
        ticker=due.ticker,
        fresh=turns.fresh,
        settled=settled,
        problems=_distinct([*turns.problems, *settled.problems]),
        asked=turns.asked,
        outage=turns.outages[0] if turns.outages else None,
        files=files,
    )


class _Turns:
    """The turns of a ticker's versions to forecast, and what they came to; no failure hides another's forecast."""

    def __init__(self, ticker: str, feed: Feed, services: Services) -> None:
        self.fresh: list[NewForecast] = []
        self.problems: list[dict[str, Any]] = []
        self.outages: list[dict[str, Any]] = []
        self.asked = False
        self.damaged: list[int] = []
        self.mended: list[int] = []
        self._ticker, self._feed, self._services = ticker, feed, services
        self._came: dict[int | None, date | AppError] = {}

    def take(self, version: ModelVersion | None, order: Mapping[str, Any]) -> date | AppError:
        """Forecast with ``version``, ``None`` being the baseline; return as of which session, or its failure."""
        came: date | AppError
        try:
            came = self._forecast(version, order)
            if version and version.damaged_at:
                self.mended.append(version.number)
        except AppError as error:
            came = error
            self._note(error)
            # A snapshot can be damaged too.
            if version and isinstance(error, CorruptArtifact) and is_damaged(version, services=self._services):
                self.damaged.append(version.number)
        self._came[version.number if version else None] = came
        return came

    def files_with_stand_in(self) -> Files:
        """Return what became known of files, after the turns of those that may stand in for a damaged champion."""
        served = tuple(self.damaged)
        stand_in, since = None, None
        try:
            before = champions_before(self._ticker, self.damaged, services=self._services)
            if before:
                stand_in, since = self._stand_in(before), before.since
        except AppError as error:
            self._note(error)
        # Where nothing is in order the whole store may be away; of what an alias points to the mark goes by itself.
        damaged = served if stand_in is None else tuple(self.damaged)
        return Files(damaged=damaged, mended=tuple(self.mended), stand_in=stand_in, since=since)

    def _stand_in(self, before: Before) -> int | None:
        """The last champion before that can be read and knows no fewer sessions; what may be able to soon ends it."""
        for number in before.numbers:
            came = self._came.get(number) or self._take_earlier(number)
            if isinstance(came, AppError):
                if not isinstance(came, CorruptArtifact | CorruptRecord | NoSuchVersion):
                    return None
            elif before.as_of_session is None or came >= before.as_of_session:
                return number
        return None

    def _take_earlier(self, number: int) -> date | AppError:
        try:
            with self._services.database.read() as tx:
                version = versions.get(tx, self._ticker, number)
        except NoSuchVersion as error:  # deleted meanwhile
            return error
        except CorruptRecord as error:
            self._note(error)
            return error
        return self.take(version, version.order)

    def _forecast(self, version: ModelVersion | None, order: Mapping[str, Any]) -> date:
        source, start, spec = _read_by(version, order)
        self._feed.bars(self._ticker, source)
        self.asked = self.asked or source != UPLOAD
        bars = self._feed.bars(self._ticker, source, peers=spec.peers)
        self.outages += bars.outages
        market = bars.audited_for(spec, start=start)
        forecast = forecast_to_serve(market, version, services=self._services)
        if not _is_said(forecast, self.problems, services=self._services):
            moved = check_drift(market, version, services=self._services) if version else None
            self.fresh.append(NewForecast(forecast=forecast, version=version, drift=moved))
        return forecast.as_of_session

    def _note(self, error: AppError) -> None:
        self.problems.append(error.to_problem())
        if isinstance(error, SourceUnavailable):
            self.asked = True
            self.outages.append(error.to_problem())


def _read_by(version: ModelVersion | None, order: Mapping[str, Any]) -> tuple[str, date | None, NetworkSpec]:
    """The source, the start and the spec of what is read for ``version``: the baseline reads the ticker alone."""
    with readable(f"The order of a version of {order.get('ticker')}"):
        spec = NetworkSpec.from_dict(order["spec"])
        source, start = str(order["data"]["source"]), order["data"]["start"]
        first = date.fromisoformat(start) if start else None
    return source, first, spec if version else replace(spec, peers=(), peer_features=None)


def _is_said(forecast: Forecast, problems: list[dict[str, Any]], *, services: Services) -> bool:
    """Whether ``forecast`` says nothing new: neither a later session, nor other numbers after restated bars."""
    try:
        with services.database.read() as tx:
            stored = forecasts.latest(tx, forecast.ticker, forecast.version)
    except CorruptRecord as error:
        problems.append(error.to_problem())
        return False  # a new one takes the place of what nobody can read
    return stored is not None and forecast.repeats(stored)


def _distinct(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name each problem once: versions of a ticker mostly fail alike."""
    return [problem for index, problem in enumerate(problems) if problem not in problems[:index]]
