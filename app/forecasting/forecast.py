"""Forecasting, top to bottom: from a ticker's bars to its coming sessions."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.dataset.baseline import ewma_t
from app.domain.forecast import RAW, Bands, Forecast
from app.domain.spec import NetworkSpec, Target
from app.domain.version import ModelVersion
from app.forecasting.bands import bands_of
from app.forecasting.issue import Said, issue
from app.forecasting.loaded_models import LoadedModels
from app.forecasting.market_data import MarketData
from app.forecasting.services import Services


def forecast_ticker(
    market: MarketData,
    *,
    version: ModelVersion | None,
    models: LoadedModels,
    now: datetime,
    refresh_delay: timedelta,
    bands: Bands = RAW,
) -> Forecast:
    """Forecast the sessions after the last bar of ``market`` with ``version``; ``None`` is the baseline.

    ``bands`` says which band is displayed for each level.

    Raises:
        NotEnoughHistory: fewer bars (``have``) than window and features need (``need``).
        InvalidBars: a field that the version uses has gaps, or there is no close; audit the bars first.
        NeedsPeers: the version reads peers that ``market`` does not hold.
        CorruptArtifact: the version's files are damaged; train again.
    """
    unseen: tuple[str, ...] = ()
    if version is None:
        said: Said = [(Target(), ewma_t(market.history.bars, horizon=1))]
    else:
        targets = NetworkSpec.from_dict(version.order["spec"]).targets
        predictor = models.get(version)
        dataset = predictor.read(market.history.bars, market.peer_bars)
        said = list(zip(targets, predictor.foretell(dataset), strict=True))
        unseen = predictor.unseen_inputs(dataset)
    return issue(said, market, version=version, bands=bands, unseen=unseen, now=now, refresh_delay=refresh_delay)


def forecast_to_serve(market: MarketData, version: ModelVersion | None, *, services: Services) -> Forecast:
    """Forecast with ``version`` as it is served now: by its files, with the bands that its record has led to.

    Raises:
        StoreUnavailable: disk or database refuse; try again later.
        NotEnoughHistory, InvalidBars, NeedsPeers, CorruptArtifact: as ``forecast_ticker``.
    """
    return forecast_ticker(
        market,
        version=version,
        models=services.models,
        bands=bands_of(market.history.ticker, version, services=services),
        now=services.clock(),
        refresh_delay=services.refresh_delay,
    )
