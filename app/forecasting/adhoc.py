"""A forecast from the caller's own bars: nothing is stored, no source is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.domain.forecast import RAW
from app.domain.history import Bars, PriceHistory
from app.forecasting.answer import chosen
from app.forecasting.document import to_document
from app.forecasting.forecast import forecast_ticker
from app.forecasting.market_data import MarketData
from app.forecasting.services import Services
from app.forecasting.state import state_of
from app.registry import versions
from app.registry.served import read_forecast


def forecast_bars(
    ticker: str,
    bars: Bars,
    *,
    model: str,
    horizon: int,
    levels: Sequence[float],
    services: Services,
    now: datetime,
) -> dict[str, Any]:
    """Forecast the sessions after the last of ``bars`` with ``model`` (an alias or a version number).

    Raises:
        NoModelYet, NoSuchAlias, NoSuchVersion: ``model`` names nothing.
        NotEnoughHistory: fewer bars (``have``) than window and features need (``need``).
        NeedsPeers: the version reads the bars of ``peers`` too; a request brings those of one ticker.
        InvalidSpec: the version uses a field that these bars do not have.
        InvalidBars: a field that the version uses has gaps; fill them.
        CorruptArtifact: the version's files are damaged; train again.
        HorizonTooLong: the version does not look that far.
    """
    with services.database.read() as tx:
        asked = chosen(tx, ticker, model)
        version = versions.get(tx, ticker, asked.version) if asked.version is not None else None
    stored = read_forecast(asked)
    history = PriceHistory(ticker=ticker, source="request", bars=bars)
    market = MarketData(history=history, findings=(), snapshot_id=None)
    forecast = forecast_ticker(
        market,
        version=version,
        models=services.models,
        bands=stored.bands if stored else RAW,
        now=now,
        refresh_delay=services.refresh_delay,
    )
    state = state_of(forecast.validity, known=None, now=now)
    return to_document(forecast, state, alias=asked.alias, horizon=horizon, levels=levels)
