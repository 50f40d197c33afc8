"""One ticker's share of a refresh: what it serves is scored by the bars that came, and forecast anew."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

from app.domain.forecast import Forecast
from app.domain.spec import NetworkSpec
from app.domain.version import ModelVersion
from app.errors import AppError, CorruptRecord, SourceUnavailable
from app.forecasting.drift import check_drift
from app.forecasting.forecast import forecast_to_serve
from app.forecasting.market_data import Feed
from app.forecasting.scoring import Settled, settle_ticker
from app.forecasting.services import Services
from app.prices.base import UPLOAD
from app.registry import forecasts
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

    ``outage`` is the problem of its source, when that was ``asked`` and did not answer.
    """

    ticker: str
    fresh: list[NewForecast]
    settled: Settled
    problems: list[dict[str, Any]]
    asked: bool
    outage: dict[str, Any] | None


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
    """Forecast with everything that ``due`` serves; neither version's failure hides another's forecast."""
    fresh: list[NewForecast] = []
    problems: list[dict[str, Any]] = []
    outages: list[dict[str, Any]] = []
    asked = False
    for version, order in zip(due.versions, due.orders, strict=True):
        try:
            source, start, spec = _read_by(version, order)
            feed.bars(due.ticker, source)
            asked = asked or source != UPLOAD
            bars = feed.bars(due.ticker, source, peers=spec.peers)
            outages += bars.outages
            market = bars.audited_for(spec, start=start)
            forecast = forecast_to_serve(market, version, services=services)
            if not _is_said(forecast, problems, services=services):
                moved = check_drift(market, version, services=services) if version else None
                fresh.append(NewForecast(forecast=forecast, version=version, drift=moved))
        except AppError as error:
            problems.append(error.to_problem())
            if isinstance(error, SourceUnavailable):
                asked = True
                outages.append(error.to_problem())
    return Outcome(
        ticker=due.ticker,
        fresh=fresh,
        settled=settled,
        problems=_distinct([*problems, *settled.problems]),
        asked=asked,
        outage=outages[0] if outages else None,
    )


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
