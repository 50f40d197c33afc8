"""Forecasts become the documents that clients read: many at once, each number as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import exp
from typing import Any

import numpy as np

from app.domain.forecast import Forecast, Step, predictive_of
from app.errors import HorizonTooLong
from app.forecasting.state import State


@dataclass(frozen=True, kw_only=True)
class Told:
    """A forecast, how far it may be believed, and the alias under which it was asked for."""

    forecast: Forecast
    state: State
    alias: str | None


def to_document(
    forecast: Forecast, state: State, *, alias: str | None, horizon: int | None, levels: Sequence[float]
) -> dict[str, Any]:
    """Write ``forecast`` out for clients: the first ``horizon`` steps of each target, intervals at ``levels`` %.

    Raises:
        HorizonTooLong: the version looks ``have`` sessions ahead, ``need`` were asked for.
    """
    require_horizon(forecast, horizon)
    told = Told(forecast=forecast, state=state, alias=alias)
    return to_documents([told], horizon=horizon, levels=levels)[0]


def require_horizon(forecast: Forecast, horizon: int | None) -> None:
    """Refuse a ``horizon`` beyond that of ``forecast``; ``None`` is as far as it looks.

    Raises:
        HorizonTooLong: see ``to_document``.
    """
    if horizon is not None and horizon > forecast.horizon:
        who = "The baseline" if forecast.version is None else "This version"
        sessions = f"{forecast.horizon} session{'s' if forecast.horizon > 1 else ''}"
        detail = f"{who} looks {sessions} ahead, {horizon} were asked for."
        raise HorizonTooLong(detail, pointer="/horizon", have=forecast.horizon, need=horizon)


def to_documents(told: Sequence[Told], *, horizon: int | None, levels: Sequence[float]) -> list[dict[str, Any]]:
    """Write out each forecast of ``told``, which all look ``horizon`` sessions ahead, as ``to_document`` does."""
    steps = step_documents([one.forecast for one in told], horizon=horizon, levels=levels)
    return [_document(one, of_one, levels) for one, of_one in zip(told, steps, strict=True)]


def step_documents(
    forecasts: Sequence[Forecast], *, horizon: int | None, levels: Sequence[float]
) -> list[list[dict[str, Any]]]:
    """Write out the first ``horizon`` steps of each target: prices in the quote currency, the rest as fractions.

    Raises:
        OverflowError: no number holds such a price.
    """
    asked = [
        (number, step, tuple(forecast.shown_level(step, level) for level in levels))
        for number, forecast in enumerate(forecasts)
        for step in forecast.steps
        if horizon is None or step.step <= horizon
    ]
    written = write_steps([(step, shown) for _, step, shown in asked], levels)
    of_each: list[list[dict[str, Any]]] = [[] for _ in forecasts]
    for (number, _, _), document in zip(asked, written, strict=True):
        of_each[number].append(document)
    return of_each


def write_steps(steps: Sequence[tuple[Step, Sequence[float]]], levels: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Write out ``steps``, each with the levels of the bands that are displayed for ``levels``.

    Raises:
        OverflowError: see ``step_documents``.
    """
    # One call a kind of distribution: a call on one number takes as long as one on a hundred.
    for _, group in groupby(steps, key=lambda one: one[0].quantiles is not None):
        yield from _written(list(group), levels)


def band_prices(steps: Sequence[tuple[Step, Sequence[float]]]) -> Iterator[list[float]]:
    """Return for each of ``steps`` its point and the ends of its bands, whose levels stand beside it.

    Raises:
        OverflowError: see ``step_documents``.
    """
    for _, group in groupby(steps, key=lambda one: one[0].quantiles is not None):
        some = list(group)
        points = np.array([[0.5, *_ends(shown)] for _, shown in some]).T
        moves = predictive_of([step for step, _ in some]).quantile(points).T.tolist()
        for (step, _), of_step in zip(some, moves, strict=True):
            yield [step.last_value * exp(move) for move in of_step]


def utc(moment: datetime) -> str:
    """Write an aware UTC moment as RFC 3339 with ``Z``, to the second."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _written(steps: Sequence[tuple[Step, Sequence[float]]], levels: Sequence[float]) -> Iterator[dict[str, Any]]:
    raw = sorted({0.5, *_ends(levels)})
    bounds = [_ends(shown) for _, shown in steps]
    said = predictive_of([step for step, _ in steps])
    points = np.concatenate([np.broadcast_to(np.array(raw)[:, None], (len(raw), len(steps))), np.array(bounds).T])
    rows = zip(
        steps, said.quantile(points).T.tolist(), said.volatility[0].tolist(), said.prob_up[0].tolist(), strict=True
    )
    names, median = [f"{p:.9g}" for p in raw], raw.index(0.5)
    for (step, _), moves, volatility, prob_up in rows:
        prices = [step.last_value * exp(move) for move in moves]
        ends = prices[len(raw) :]
        yield {
            "step": step.step,
            "field": step.field,
            "last_value": step.last_value,
            "target_session": step.target_session.isoformat(),
            "target_close_at": utc(step.target_close_at),
            "point": prices[median],
            "expected_return": prices[median] / step.last_value - 1.0,
            "volatility": volatility,
            "prob_up": prob_up,
            "quantiles": dict(zip(names, prices, strict=False)),
            "intervals": [
                {"level": level, "lower": lower, "upper": upper}
                for level, lower, upper in zip(levels, ends[::2], ends[1::2], strict=True)
            ],
        }


def _ends(levels: Sequence[float]) -> list[float]:
    """Return the probabilities below which the lower and the upper end of each central interval lie."""
    return [round(0.5 + side * level / 200, 9) for level in levels for side in (-1, 1)]


def _document(told: Told, steps: Sequence[Mapping[str, Any]], levels: Sequence[float]) -> dict[str, Any]:
    forecast, state = told.forecast, told.state
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
        "steps": steps,
        # Not `asdict`, which copies each number deeply.
        "skill": {**vars(forecast.skill)},
        "calibration": [{**vars(entry)} for level in levels for entry in forecast.kept(level)],
        "diagnostics": {**vars(forecast.diagnostics)},
        "model": {
            "version": forecast.version,
            "alias": told.alias,
            "architecture": forecast.architecture,
            "preset": forecast.preset,
            "trained_through": forecast.trained_through.isoformat() if forecast.trained_through else None,
        },
        "provenance": dict(forecast.provenance),
        "calendar": {name: forecast.calendar[name] for name in ("exchange", "approximate")},
        "next_update_at": utc(state.next_update_at),
    }
