"""Settings become services: the only place where a port meets its adapter."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

from app.artifacts.local import LocalArtifacts
from app.db.engine import Database
from app.domain.history import PriceHistory
from app.errors import StoreUnavailable
from app.forecasting.loaded_models import LoadedModels
from app.forecasting.services import Services
from app.prices.base import PriceSource
from app.prices.files import FilePrices
from app.prices.sample import SamplePrices
from app.prices.snapshots import SnapshotStore
from app.settings import Settings


def open_services(settings: Settings, *, clock: Callable[[], datetime] | None = None) -> Services:
    """Wire the parts of one process and bring the registry's schema up to date.

    Raises:
        StoreUnavailable: the database or a folder cannot be used; the message names it.
    """
    _make(settings.state_dir)
    database = Database(settings.registry_url)
    database.upgrade()
    artifacts = LocalArtifacts(settings.models_dir)
    return Services(
        settings=settings,
        database=database,
        artifacts=artifacts,
        models=LoadedModels(artifacts),
        snapshots=SnapshotStore(settings.state_dir / "snapshots"),
        sources=_sources(settings),
        clock=clock or (lambda: datetime.now(UTC)),
    )


def folder_prices(folder: Path) -> PriceSource:
    """Return the price source of a folder of CSV files, for work that needs no other service."""
    return FilePrices(folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{folder} cannot be made: {error.strerror}.", folder=str(folder)) from error


def _sources(settings: Settings) -> dict[str, PriceSource]:
    sources: list[PriceSource] = [_LazyYahoo(settings), SamplePrices()]
    if settings.files_dir:
        sources.append(FilePrices(settings.files_dir))
    return {source.name: source for source in sources}


@dataclass
class _LazyYahoo:
    """Yahoo, imported at its first question: the client costs an API process a second and 50 MB."""

    settings: Settings
    name: str = field(default="yahoo", init=False)
    local: bool = field(default=False, init=False)

    def tickers(self) -> list[str] | None:
        """Yahoo does not list its tickers."""
        return None

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        """Ask the real source; see ``app.prices.yahoo``."""
        return self._client.history(ticker, start=start, end=end, now=now)

    @cached_property
    def _client(self) -> PriceSource:
        yahoo = importlib.import_module("app.prices.yahoo")
        client: PriceSource = yahoo.YahooPrices(
            base_url=str(self.settings.yahoo_base_url) if self.settings.yahoo_base_url else None,
            cache_dir=self.settings.state_dir / "cache" / "yahoo",
            timeout_seconds=self.settings.yahoo_timeout_seconds,
        )
        return client
