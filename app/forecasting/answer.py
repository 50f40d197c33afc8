"""A stored forecast becomes the document that clients read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import chain
from math import exp
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app.domain.forecast import Forecast, Step
from app.domain.version import CHAMPION
from app.errors import HorizonTooLong, NoModelYet, NoSuchAlias
from app.forecasting.state import State, state_of
from app.registry import aliases, forecasts, tickers, versions


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A document, and until when nothing but a new edition can change it."""

    document: dict[str, Any]
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which version answers: ``version`` ``None`` is the baseline; ``alias`` as asked for."""

    version: int | None
    alias: str | None


def answer(
    tx: Connection, ticker: str, *, model: str, horizon: int | None, levels: Sequence[float], now: datetime
) -> Answer:
    """Answer with the latest stored forecast of ``model`` (an alias or a version number).

    ``horizon`` ``None`` means as far as it looks.

    Raises:
        NoModelYet: the ticker has no version; train one.
        NoSuchAlias, NoSuchVersion: ``model`` names nothing.
        HorizonTooLong: the version looks ``have`` sessions ahead, ``need`` were asked for.
    """
    chosen = choose(tx, ticker, model)
    forecast = forecasts.latest(tx, ticker, chosen.version)
    if forecast is None:
        raise NoModelYet(f"{ticker} has no forecast yet.", ticker=ticker)
    state = state_of(forecast.validity, known=tickers.get(tx, ticker), now=now)
    document = to_document(forecast, state, alias=chosen.alias, horizon=horizon, levels=levels)
    return Answer(document=document, expires_at=state.until)


def choose(tx: Connection, ticker: str, model: str) -> Chosen:
    """Find the version that ``model`` names; without a champion the baseline stands in.

    Raises:
        NoModelYet, NoSuchAlias, NoSuchVersion: see ``answer``.
    """
    if versions.newest(tx, ticker) is None:
        raise NoModelYet(f"{ticker} has no version yet; POST /v1/train makes one.", ticker=ticker)
    if model.isdigit():
        number = int(model)
        pointed = [alias for alias, at in aliases.all_aliases(tx, ticker).items() if at == number]
        return Chosen(version=versions.get(tx, ticker, number).number, alias=min(pointed, default=None))
    current = aliases.current(tx, ticker, model)
    if current is None and model != CHAMPION:
        raise NoSuchAlias(f"No version of {ticker} carries the alias {model!r}.", ticker=ticker, alias=model)
    return Chosen(version=current, alias=model if current is not None else None)


def to_document(
    forecast: Forecast, state: State, *, alias: str | None, horizon: int | None, levels: Sequence[float]
) -> dict[str, Any]:
    """Write ``forecast`` out for clients: the first ``horizon`` steps of each target, intervals at ``levels`` %.

    Raises:
        HorizonTooLong: see ``answer``.
    """
    if horizon is not None and horizon > forecast.horizon:
        who = "The baseline" if forecast.version is None else "This version"
        sessions = f"{forecast.horizon} session{'s' if forecast.horizon > 1 else ''}"
        detail = f"{who} looks {sessions} ahead, {horizon} were asked for."
        raise HorizonTooLong(detail, pointer="/horizon", have=forecast.horizon, need=horizon)
    return {
        "forecast_id": forecast.forecast_id,
        "edition": forecast.edition or None,
        "ticker": forecast.ticker,
        "currency": forecast.currency,
        "target": dict(forecast.target),
        "targets": [dict(target) for target in forecast.targets],
        "state": state.name,
        "reasons": list(state.reasons),
        "origin": forecast.origin,
        "as_of_session": forecast.as_of_session.isoformat(),
        "issued_at": utc(forecast.issued_at),
        "last_close": forecast.last_close,
        "steps": _steps(forecast, forecast.horizon if horizon is None else horizon, levels),
        "skill": asdict(forecast.skill),
        "calibration": [asdict(entry) for level in levels for entry in forecast.kept(level)],
        "diagnostics": asdict(forecast.diagnostics),
        "model": {
            "version": forecast.version,
            "alias": alias,
            "architecture": forecast.architecture,
            "preset": forecast.preset,
            "trained_through": forecast.trained_through.isoformat() if forecast.trained_through else None,
        },
        "provenance": dict(forecast.provenance),
        "calendar": {name: forecast.calendar[name] for name in ("exchange", "approximate")},
        "next_update_at": utc(state.next_update_at),
    }


def utc(moment: datetime) -> str:
    """Write an aware UTC moment as RFC 3339 with ``Z``, to the second."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def prices_at(forecast: Forecast, probabilities: Iterable[float]) -> list[dict[float, float]]:
    """Return for each step of ``forecast`` the price that its field ends below with each of ``probabilities``.

    Raises:
        OverflowError: no number holds such a price.
    """
    asked = list(probabilities)
    moves = forecast.predictive.quantile(np.array(asked)[:, None]).T.tolist()
    return [
        {p: step.last_value * exp(move) for p, move in zip(asked, of_step, strict=True)}
        for step, of_step in zip(forecast.steps, moves, strict=True)
    ]


def bounds_of(levels: Iterable[float]) -> dict[float, tuple[float, float]]:
    """Return the probabilities below which the lower and the upper end of each central interval lie."""
    return {level: _bounds(level) for level in levels}


def shown_bounds(forecast: Forecast, levels: Iterable[float]) -> list[dict[float, tuple[float, float]]]:
    """Return for each step of ``forecast`` by level the probabilities that bound the band displayed for it."""
    shown = [{level: forecast.shown_level(step, level) for level in levels} for step in forecast.steps]
    return [{level: _bounds(effective) for level, effective in one.items()} for one in shown]


def intervals_of(prices: Mapping[float, float], bounds: Mapping[float, tuple[float, float]]) -> list[dict[str, float]]:
    """Return the intervals at the ``bounds`` of each level as documents; ``prices`` has those at the bounds."""
    return [{"level": level, "lower": prices[low], "upper": prices[high]} for level, (low, high) in bounds.items()]


def _steps(forecast: Forecast, horizon: int, levels: Sequence[float]) -> list[dict[str, Any]]:
    """Write out the first ``horizon`` steps of each target: prices in the quote currency, the rest as fractions."""
    chosen = replace(forecast, steps=tuple(step for step in forecast.steps if step.step <= horizon))
    raw = sorted({0.5, *chain(*bounds_of(levels).values())})
    shown = shown_bounds(chosen, levels)
    predictive = chosen.predictive
    rows = zip(
        chosen.steps,
        prices_at(chosen, {*raw, *points_of(shown)}),
        predictive.volatility[0].tolist(),
        predictive.prob_up[0].tolist(),
        shown,
        strict=True,
    )
    return [
        _step(step, prices, volatility, prob_up) | _spread(prices, raw, bounds)
        for step, prices, volatility, prob_up, bounds in rows
    ]


def points_of(shown: Iterable[Mapping[float, tuple[float, float]]]) -> set[float]:
    """Return all probabilities among the bounds of ``shown_bounds``."""
    return {point for bounds in shown for ends in bounds.values() for point in ends}


def _spread(
    prices: Mapping[float, float], raw: Iterable[float], bounds: Mapping[float, tuple[float, float]]
) -> dict[str, Any]:
    """Raw quantiles, and intervals as displayed."""
    quantiles = {f"{p:.9g}": prices[p] for p in raw}
    return {"quantiles": quantiles, "intervals": intervals_of(prices, bounds)}


def _bounds(level: float) -> tuple[float, float]:
    return round(0.5 - level / 200, 9), round(0.5 + level / 200, 9)


def _step(step: Step, prices: Mapping[float, float], volatility: float, prob_up: float) -> dict[str, Any]:
    return {
        "step": step.step,
        "field": step.field,
        "last_value": step.last_value,
        "target_session": step.target_session.isoformat(),
        "target_close_at": utc(step.target_close_at),
        "point": prices[0.5],
        "expected_return": prices[0.5] / step.last_value - 1.0,
        "volatility": volatility,
        "prob_up": prob_up,
    }
