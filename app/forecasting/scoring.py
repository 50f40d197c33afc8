"""Forecasts meet what came: each step is scored once its session has a bar, and again when that bar is restated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from math import exp, isclose, log
from typing import Any

import numpy as np

from app.dataset.baseline import ewma_t
from app.domain.forecast import Forecast
from app.domain.history import BAR_FIELDS, PriceHistory, to_date
from app.domain.score import MISSING, PENDING, SCORED, Score
from app.errors import AppError, CorruptArtifact, InvalidBars, NotEnoughHistory
from app.evaluation.calibration import LEVELS, nonconformity
from app.forecasting.actuals import Actual, actual_of, row_of
from app.forecasting.market_data import Feed, RawBars
from app.forecasting.restated import SAME, told_anew_since
from app.forecasting.services import Services
from app.prices.audit import audit
from app.registry import forecasts, scores, settlements, tickers

_LOOK_BACK = timedelta(days=5 * 366)  # before the oldest forecast: more sessions than the baseline looks back on


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What a refresh scored: sessions that came, bars that were ``restated``, and sessions that never came."""

    scored: int = 0
    restated: int = 0
    missing: int = 0
    problems: tuple[dict[str, Any], ...] = ()


def settle_ticker(ticker: str, feed: Feed, *, sources: Iterable[str], services: Services) -> Settled:
    """Score what was forecast of ``ticker`` and has come since, in one transaction a source.

    ``sources`` are asked anyway; a further one is asked where a forecast by its bars is due.
    """
    now = services.clock()
    with services.database.read() as tx:
        due = scores.sources_due(tx, ticker, by=now.date())
    pairs: list[tuple[Score, Score]] = []
    problems: list[dict[str, Any]] = []
    for source in sorted({*sources, *due}):
        try:
            news, refusal = _settle_by(ticker, feed.bars(ticker, source), source=source, services=services, now=now)
            pairs += news
            problems += [refusal.to_problem()] if refusal else []
        except AppError as error:
            problems.append(error.to_problem())
    return _counted(pairs, problems)


def _settle_by(
    ticker: str, bars: RawBars, *, source: str, services: Services, now: datetime
) -> tuple[list[tuple[Score, Score]], InvalidBars | None]:
    """Settle what was forecast by bars of ``source``; return what has changed, before and after, as ``_settle``."""
    newest = to_date(np.max(bars.history.bars.sessions))  # sources need not keep to the order
    with services.database.read() as tx:
        known = settlements.current(tx, ticker, source)
        since = _told_anew_since(known, bars, services=services)
        steps = scores.up_to(tx, ticker, source, until=newest, since=since)
    changed, refusal = _settle(steps, bars, services=services, now=now)
    if changed or known != bars.snapshot_id:
        with services.database.write() as tx:
            tickers.lock(tx, ticker)
            if settlements.current(tx, ticker, source) != known:
                return [], None  # somebody was faster; what these bars say beside shows in the next comparison
            scores.settle(tx, changed)
            if not refusal:
                settlements.note(tx, ticker, source, str(bars.snapshot_id))
    before = {(step.forecast_id, step.step, step.field): step for step in steps}
    return [(before[one.forecast_id, one.step, one.field], one) for one in changed], refusal


def _told_anew_since(known: str | None, bars: RawBars, *, services: Services) -> date | None:
    """Return from which session on ``bars`` may say what the snapshot settled from did not, ``None``: nowhere."""
    if known is None:
        return date.min
    if known == bars.snapshot_id:
        return None
    try:
        return told_anew_since(services.snapshots.load(known), bars.history)
    except CorruptArtifact:
        return date.min


def _settle(
    steps: Sequence[Score], bars: RawBars, *, services: Services, now: datetime
) -> tuple[list[Score], InvalidBars | None]:
    """Return the steps of which these bars tell something new, and why they tell nothing of others that are due."""
    if not steps:
        return [], None
    history, fault = _audited(bars.history, steps)
    news = [(step, actual_of(step, history)) for step in steps]
    news = [(step, actual) for step, actual in news if _is_news(step, actual, history)]
    fresh = [step.forecast_id for step, actual in news if actual and not _agrees(step.actual, actual.value)]
    with services.database.read() as tx:
        issued = forecasts.get_many(tx, list(dict.fromkeys(fresh)))
    settled = (_settled(step, actual, issued, history) for step, actual in news)
    scored = [replace(step, snapshot_id=bars.snapshot_id, scored_at=now) for step in settled if step]
    return scored, fault and _left_waiting(steps, history, fault)


def _audited(raw: PriceHistory, steps: Sequence[Score]) -> tuple[PriceHistory, InvalidBars | None]:
    """Audit the bars for the fields of ``steps``, and return them up to the first that cannot be used, with the reason.

    What is at fault before any of ``steps`` counts as not there.
    """
    oldest = min(step.as_of_session for step in steps)
    known = (*BAR_FIELDS, *raw.bars.extra)
    fields = tuple(dict.fromkeys(step.field for step in steps if step.field in known)) or ("close",)
    refusal: InvalidBars | None = None
    while True:
        try:
            with suppress(InvalidBars):
                return audit(raw.between(start=oldest - _LOOK_BACK), fields=fields)[0], refusal
            return audit(raw.between(start=oldest), fields=fields)[0], refusal
        except InvalidBars as error:
            refusal = refusal or error
            raw = raw.between(end=_first_fault(error) - timedelta(days=1))
        except NotEnoughHistory as error:
            raise refusal or error from None


def _first_fault(refusal: InvalidBars) -> date:
    """Return the first session at which the bars cannot be used."""
    refused = [found for found in refusal.facts["findings"] if found["severity"] == "refused"]
    return min(date.fromisoformat(day) for found in refused for day in found["examples"])


def _left_waiting(steps: Sequence[Score], history: PriceHistory, fault: InvalidBars) -> InvalidBars | None:
    """Say which of ``steps`` cannot be scored, for the bars are at ``fault`` behind ``history``."""
    waiting = [step for step in steps if step.state == PENDING and step.target_session > history.last_session]
    if not waiting:
        return None
    first = min(step.target_session for step in waiting)
    detail = f"Steps of forecasts that wait for a score: {len(waiting)}, the first of {first}. {fault.detail}"
    return InvalidBars(detail, **{**fault.facts, "waiting": len(waiting), "first": first.isoformat()})


def _is_news(step: Score, actual: Actual | None, history: PriceHistory) -> bool:
    if actual is None:
        # A bar that has gone since takes nothing back, and of a session before all bars nothing is known.
        known = history.first_session < step.target_session < history.last_session
        return step.state == PENDING and known
    return not (_agrees(step.actual, actual.value) and _agrees(step.actual_close, actual.close))


def _agrees(stored: float | None, known: float | None) -> bool:
    if stored is None or known is None:
        return stored is known
    return isclose(stored, known, rel_tol=SAME)


def _settled(step: Score, actual: Actual | None, issued: Mapping[str, Forecast], history: PriceHistory) -> Score | None:
    if actual is None:
        return replace(step, state=MISSING)
    if _agrees(step.actual, actual.value):  # after a split the close alone is another
        return replace(step, actual_close=actual.close)
    # Of a forecast that somebody removed nothing is scored; the chain names it.
    forecast = issued.get(step.forecast_id)
    return score_step(step, actual, forecast, history) if forecast else None


def score_step(step: Score, actual: Actual, forecast: Forecast, history: PriceHistory) -> Score:
    """Return ``step`` of ``forecast`` scored by what came.

    ``qlike`` is against the squared return. ``history`` is only read up to ``as_of_session``, for the baseline.
    """
    # Here and not above: only a refresh scores, and the library's import costs what the API need not pay.
    from app.evaluation.metrics import crps, pinball, qlike

    dated = next(one for one in forecast.steps if (one.step, one.field) == (step.step, step.field))
    said = replace(forecast, steps=(dated,)).predictive
    move = np.array([[log(actual.value / step.last_value)]])
    pit = said.cdf(move)[0, 0]
    reached = float(nonconformity(pit))
    baseline = _baseline(step, history) if step.leads and step.field == "close" else None
    return replace(
        step,
        state=SCORED,
        actual=actual.value,
        actual_close=actual.close,
        error=step.last_value * exp(float(said.quantile(0.5)[0, 0])) - actual.value,
        persistence_error=step.last_value - actual.value,
        crps=float(crps(said, move)[0, 0]),
        crps_ewma_t=float(crps(baseline, move)[0, 0]) if baseline else None,
        pinball=float(pinball(said, move)[0, 0]),
        pit=float(pit),
        qlike=float(qlike(said, move[:, 0] ** 2)[0]),
        inside={
            f"{level:g}": {"raw": reached <= level, "displayed": reached <= forecast.shown_level(dated, level)}
            for level in LEVELS
        },
    )


def _baseline(step: Score, history: PriceHistory) -> Any:
    """What persistence with EWMA-t said on the same day, from the bars up to it; ``None`` with too few."""
    row = row_of(history.bars, step.as_of_session)
    if row is None:
        return None
    try:
        return ewma_t(history.bars.rows(slice(0, row + 1)), horizon=1)
    except NotEnoughHistory:
        return None


def _counted(pairs: Sequence[tuple[Score, Score]], problems: Sequence[dict[str, Any]]) -> Settled:
    return Settled(
        scored=sum(old.state != SCORED and new.state == SCORED for old, new in pairs),
        restated=sum(old.state == SCORED and old.actual != new.actual for old, new in pairs),
        missing=sum(new.state == MISSING for _, new in pairs),
        problems=tuple(problems),
    )
