"""Forecasting, top to bottom: from a ticker's bars to its coming sessions."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.dataset.baseline import ewma_t
from app.domain.forecast import Forecast
from app.domain.spec import NetworkSpec, Target
from app.domain.version import ModelVersion
from app.forecasting.issue import issue
from app.forecasting.loaded_models import LoadedModels
from app.forecasting.market_data import MarketData


def forecast_ticker(
    market: MarketData,
    *,
    version: ModelVersion | None,
    models: LoadedModels,
    now: datetime,
    refresh_delay: timedelta,
) -> Forecast:
    """Forecast the sessions after the last bar of ``market`` with ``version``; ``None`` is the baseline.

    Raises:
        NotEnoughHistory: fewer bars than window and features need.
        CorruptArtifact: the version's files are damaged; train again.
    """
    if version is None:
        target, predictive = Target(), ewma_t(market.history.bars.close, horizon=1)
    else:
        target = NetworkSpec.from_dict(version.order["spec"]).target
        predictive = models.get(version).predict(market.history.bars)
    return issue(predictive, market, target=target, version=version, now=now, refresh_delay=refresh_delay)
