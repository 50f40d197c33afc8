"""New bars become scores and new forecasts: everything that an alias points to, published as one edition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from app.domain.forecast import Forecast
from app.domain.spec import NetworkSpec
from app.domain.version import CHAMPION, ModelVersion
from app.errors import AppError, CorruptRecord, SourceUnavailable
from app.forecasting.bands import bands_of
from app.forecasting.challenge import promote_challenger
from app.forecasting.drift import check_drift, retrain
from app.forecasting.forecast import forecast_ticker
from app.forecasting.market_data import Feed, MarketData, RawBars
from app.forecasting.scoring import Settled, settle_ticker
from app.forecasting.services import Services
from app.prices.base import UPLOAD
from app.registry import aliases, drift, editions, forecasts, scores, tickers, versions
from app.registry.readable import readable
from app.sessions.calendars import Exchange, sessions_closed_since

#: An instrument silent for longer than this is asked once a day only.
SILENT_SESSIONS = 5

Report = Callable[..., None]

_COUNTED = ("scored", "restated", "missing")


@dataclass(frozen=True, kw_only=True)
class _Due:
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
class _New:
    """A forecast that is not stored yet, the version that made it, and how far that one's world has moved."""

    forecast: Forecast
    version: ModelVersion | None
    drift: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of one ticker: what is new, what was settled, what went wrong.

    ``outage`` is the problem of its source, when that was ``asked`` and did not answer.
    """

    ticker: str
    fresh: list[_New]
    settled: Settled
    problems: list[dict[str, Any]]
    asked: bool
    outage: dict[str, Any] | None


def refresh_tickers(names: Iterable[str] | None, *, services: Services, report: Report) -> dict[str, Any]:
    """Fetch bars, score what was forecast and forecast anew for ``names`` (``None``: every ticker with a version).

    Forecasts that are due are scored whether or not their ticker still has a version.

    Returns the tickers with a new forecast, those ``unchanged``, and the ``failed`` with their problems; neither one
    ticker's failure nor one version's hides another's forecast. ``scored``, ``restated`` and ``missing`` count the
    steps of earlier forecasts whose session came, changed or never came; ``promoted`` are the tickers whose challenger
    became champion. ``edition`` is under which all this is published, ``None`` when nothing that is answered changed.
    """
    feed = Feed(services)
    due, failed = _due(names, services=services)
    outcomes = []
    for done, one in enumerate(due):
        report("refresh", done / len(due))
        outcomes.append(_renewed(one, feed, services=services))
    failed += [_failure(one.ticker, problem) for one in outcomes for problem in one.problems]
    edition, promoted = _publish(due, outcomes, failed, services=services)
    renewed = [one.ticker for one in outcomes if one.fresh]
    broken = {entry["ticker"] for entry in failed}
    unchanged = [one.ticker for one in due if one.ticker not in renewed and one.ticker not in broken]
    counts = {name: sum(getattr(one.settled, name) for one in outcomes) for name in _COUNTED}
    listed = {"refreshed": sorted(renewed), "unchanged": sorted(unchanged), "failed": failed}
    return {"edition": edition, **listed, "promoted": promoted, **counts}


def _renewed(due: _Due, feed: Feed, *, services: Services) -> _Outcome:
    """Score and forecast one ticker."""
    try:
        # Scores first: what came today calibrates what is said of tomorrow.
        settled = settle_ticker(due.ticker, feed, sources=due.sources, services=services)
    except CorruptRecord as error:
        settled = Settled(problems=(error.to_problem(),))
    return _forecasts(due, settled, feed, services=services)


def _failure(ticker: str, problem: dict[str, Any]) -> dict[str, Any]:
    return {"ticker": ticker, "problem": problem}


def _distinct(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name each problem once: versions of a ticker mostly fail alike."""
    return [problem for index, problem in enumerate(problems) if problem not in problems[:index]]


def _due(names: Iterable[str] | None, *, services: Services) -> tuple[list[_Due], list[dict[str, Any]]]:
    """Read which versions each ticker serves, and whose forecasts wait for their scores without any.

    Returns those, and what cannot be read.
    """
    due: list[_Due] = []
    failed: list[dict[str, Any]] = []
    with services.database.read() as tx:
        awaited = set(scores.awaited(tx, until=services.clock().date()))
        for ticker in sorted({*versions.all_tickers(tx), *awaited}) if names is None else names:
            with _failing(ticker, failed):
                newest = versions.newest(tx, ticker)
                if newest is None and ticker not in awaited:
                    continue
                serving = tuple(None if n is None else versions.get(tx, ticker, n) for n in _serving(tx, ticker))
                orders = tuple(one.order for version in serving if (one := version or newest))
                due.append(_Due(ticker=ticker, versions=serving, orders=orders))
    return due, failed


def _serving(tx: Connection, ticker: str) -> tuple[int | None, ...]:
    """The numbers of the versions that aliases point to, and ``None`` for the baseline without a champion.

    None at all without a version.
    """
    pointed = aliases.all_aliases(tx, ticker)
    numbers: tuple[int | None, ...] = tuple(sorted(set(pointed.values())))
    return numbers if CHAMPION in pointed or versions.newest(tx, ticker) is None else (*numbers, None)


def _forecasts(due: _Due, settled: Settled, feed: Feed, *, services: Services) -> _Outcome:
    """Forecast with everything that ``due`` serves; neither version's failure hides another's forecast."""
    fresh: list[_New] = []
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
            forecast, market = _forecast(bars, spec, version, start=start, services=services)
            if not _is_said(forecast, problems, services=services):
                moved = check_drift(market, version, services=services) if version else None
                fresh.append(_New(forecast=forecast, version=version, drift=moved))
        except AppError as error:
            problems.append(error.to_problem())
            if isinstance(error, SourceUnavailable):
                asked = True
                outages.append(error.to_problem())
    return _Outcome(
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


def _forecast(
    bars: RawBars, spec: NetworkSpec, version: ModelVersion | None, *, start: date | None, services: Services
) -> tuple[Forecast, MarketData]:
    """Forecast with ``version``; return what it read beside."""
    market = bars.audited_for(spec, start=start)
    forecast = forecast_ticker(
        market,
        version=version,
        models=services.models,
        bands=bands_of(market.history.ticker, version, services=services),
        now=services.clock(),
        refresh_delay=services.refresh_delay,
    )
    return forecast, market


def _is_said(forecast: Forecast, problems: list[dict[str, Any]], *, services: Services) -> bool:
    """Whether ``forecast`` says nothing new: neither a later session, nor other numbers after restated bars."""
    try:
        with services.database.read() as tx:
            stored = forecasts.latest(tx, forecast.ticker, forecast.version)
    except CorruptRecord as error:
        problems.append(error.to_problem())
        return False  # a new one takes the place of what nobody can read
    return stored is not None and forecast.repeats(stored)


def _publish(
    due: list[_Due], outcomes: list[_Outcome], failed: list[dict[str, Any]], *, services: Services
) -> tuple[str | None, list[str]]:
    """Promote challengers, store all new forecasts, how sources fared and the times of the next look: one transaction.

    What cannot be read is added to ``failed``; of a ticker of which that holds the rest goes on.
    """
    unread = {entry["ticker"] for entry in failed} - {one.ticker for one in due}
    fresh = [new for one in outcomes for new in one.fresh]
    with services.database.write() as tx:
        # Tickers before the edition, in order, as everywhere: else two writers could wait for each other.
        for ticker in sorted({*unread, *(one.ticker for one in due)}):
            tickers.lock(tx, ticker)
        now = services.clock()  # after all waiting: whether a forecast is live is decided by it
        before = editions.hold(tx)
        for told in outcomes:
            if told.asked:
                tickers.set_source_state(tx, told.ticker, ok=told.outage is None, error=told.outage, now=now)
        promoted = []
        for one in due:
            with _failing(one.ticker, failed):
                promoted += [one.ticker] if promote_challenger(tx, one.ticker, now=now) else []
        edition = editions.next_edition(tx) if fresh else str(editions.current(tx))
        for new in fresh:
            forecasts.store(tx, new.forecast.published(edition, now=now))
            with _failing(new.forecast.ticker, failed):
                _note_drift(tx, new, now=now, services=services)
        retry = now + services.refresh_retry
        for ticker in unread:
            tickers.set_next_update(tx, ticker, retry)
        for one in due:
            at: datetime | None = retry
            with _failing(one.ticker, failed):
                at = _planned(tx, one, retry=retry, now=now, services=services)
            tickers.set_next_update(tx, one.ticker, at)
    return edition if edition != str(before) else None, promoted


@contextmanager
def _failing(ticker: str, failed: list[dict[str, Any]]) -> Iterator[None]:
    """Let what cannot be read of ``ticker`` be its problem, and no other's."""
    try:
        yield
    except CorruptRecord as error:
        failed += [_failure(ticker, error.to_problem())]


def _note_drift(tx: Connection, new: _New, *, now: datetime, services: Services) -> None:
    """Keep how far the version's world has moved, and train anew when a champion's has moved too far."""
    version = new.version
    if version is None or new.drift is None:
        return
    drift.write(tx, version.ticker, version.number, new.drift, now=now)
    if aliases.current(tx, version.ticker, CHAMPION) == version.number:
        retrain(tx, version, new.drift, services=services, now=now)


def _planned(tx: Connection, one: _Due, *, retry: datetime, now: datetime, services: Services) -> datetime | None:
    """When to look for the ticker's next bar; ``None``, at once, when its aliases moved meanwhile."""
    numbers = tuple(version.number if version else None for version in one.versions)
    if numbers != _serving(tx, one.ticker):
        return None
    served = [forecasts.latest(tx, one.ticker, number) for number in numbers]
    if not numbers:
        served = list(forecasts.history(tx, one.ticker, since=None, before=None, limit=1))
    return min((next_look(stored, now=now, services=services) for stored in served if stored), default=retry)


def next_look(stored: Forecast, *, now: datetime, services: Services) -> datetime:
    """When to ask for the bar after ``stored``: when it is due, or again after a while when it is late."""
    if stored.next_update_at > now:
        return stored.next_update_at
    calendar = stored.calendar
    exchange = Exchange(calendar["exchange"], calendar["approximate"], calendar["timezone"])
    late = sessions_closed_since(exchange, stored.as_of_session, now=now)
    retry = services.refresh_retry
    return now + (retry if late <= SILENT_SESSIONS else max(retry, timedelta(days=1)))
