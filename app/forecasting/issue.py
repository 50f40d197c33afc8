"""Distributions become a dated forecast."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from app import __version__
from app.domain.distribution import Predictive, Quantiles
from app.domain.forecast import NOTHING_ODD, Bands, Diagnostics, Forecast, Step
from app.domain.history import PriceHistory
from app.domain.scorecard import Scorecard, Skill
from app.domain.spec import NetworkSpec, Target
from app.domain.version import ModelVersion
from app.forecasting.market_data import MarketData
from app.registry.readable import readable
from app.sessions.calendars import Exchange, exchange_of, next_sessions

BASELINE, MODEL = "ewma_t", "model"

Said = Sequence[tuple[Target, Predictive]]


def issue(
    said: Said,
    market: MarketData,
    *,
    version: ModelVersion | None,
    bands: Bands,
    unseen: Sequence[str],
    now: datetime,
    refresh_delay: timedelta,
) -> Forecast:
    """Put dates, origin and provenance to what was ``said`` after the last bar of ``market``.

    ``said`` has a distribution ``(1, horizon)`` for each target, the leading one first.

    ``version`` ``None`` issues the baseline; ``bands`` are those to display, ``unseen`` the inputs that leave what the
    version learnt from. The next update is due ``refresh_delay`` after the first target session's close.

    Raises:
        InvalidBars: there is no close to name.
        CorruptRecord: the version's scorecard is mangled; train again.
    """
    history = market.history
    exchange = exchange_of(history.ticker, timezone=history.timezone, instrument=history.instrument)
    steps, approximate = _steps(said, history, exchange)
    with readable(f"The scorecard of a version of {history.ticker}"):
        card = Scorecard.from_dict(version.scorecard) if version else None
        diagnostics = _diagnostics(card, unseen)
    return Forecast(
        forecast_id=uuid.uuid4().hex,
        ticker=history.ticker,
        currency=history.currency,
        targets=tuple(asdict(target) for target, _ in said),
        origin="live" if now < steps[0].target_open_at else "backfill",
        as_of_session=history.last_session,
        issued_at=now,
        last_close=history.last_close,
        steps=steps,
        version=version.number if version else None,
        architecture=NetworkSpec.from_dict(version.order["spec"]).network_name if version else BASELINE,
        preset=version.order["preset"] if version else None,
        trained_through=version.data.last_session if version else None,
        skill=card.skill if card else _no_skill(),
        bands=bands,
        provenance=_provenance(market),
        calendar={"exchange": exchange.name, "approximate": approximate, "timezone": exchange.timezone},
        next_update_at=steps[0].target_close_at + refresh_delay,
        diagnostics=diagnostics,
    )


def _provenance(market: MarketData) -> dict[str, Any]:
    """Say by which bars and which program it came about."""
    return {
        "snapshot_id": market.snapshot_id,
        "source": market.history.source,
        "price_basis": market.history.price_basis,
        "code_version": __version__,
    }


def _diagnostics(card: Scorecard | None, unseen: Sequence[str]) -> Diagnostics:
    """Say what should make one doubt the forecast; of the baseline nothing is to be said."""
    if card is None:
        return NOTHING_ODD
    return Diagnostics(
        persistence_likeness=card.contestants[MODEL].get("persistence_likeness"),
        seed_spread=card.protocol.get("seed_spread"),
        inputs_out_of_range=tuple(unseen),
    )


def _steps(said: Said, history: PriceHistory, exchange: Exchange) -> tuple[tuple[Step, ...], bool]:
    """Date each column of what was said by the exchange's sessions after the last one."""
    horizon = said[0][1].location.shape[1]
    sessions, approximate = next_sessions(exchange, history.last_session, horizon)
    steps = tuple(
        Step(
            step=k + 1,
            field=target.field,
            last_value=_last_value(history, target.field),
            target_session=session.day,
            target_open_at=session.open_at,
            target_close_at=session.close_at,
            **_numbers(predictive, k),
        )
        for target, predictive in said
        for k, session in enumerate(sessions)
    )
    return steps, approximate


def _numbers(predictive: Predictive, k: int) -> dict[str, Any]:
    """Return what a step keeps of its distribution."""
    location = float(predictive.location[0, k])
    if isinstance(predictive, Quantiles):
        return {"location": location, "quantiles": tuple(predictive.values[0, k].tolist())}
    return {"location": location, "scale": float(predictive.scale[0, k]), "df": float(predictive.df[0, k])}


def _last_value(history: PriceHistory, field: str) -> float:
    return history.last_close if field == "close" else float(history.bars.column(field)[-1])


def _no_skill() -> Skill:
    """The baseline compared with itself."""
    return Skill(vs="persistence", metric="rmse", value=0.0, ci95=None, dm_p=None, n=0, beats_baseline=False)
