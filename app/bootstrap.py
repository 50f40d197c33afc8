"""Settings become services: the only place where a port meets its adapter."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeGuard

from app.artifacts.base import ArtifactStore
from app.artifacts.local import LocalArtifacts
from app.db.engine import Database
from app.domain.breaker import Patience
from app.domain.history import PriceHistory
from app.errors import StoreUnavailable
from app.forecasting.guarded_prices import GuardedPrices
from app.forecasting.loaded_models import LoadedModels
from app.forecasting.services import Services
from app.jobs.delivery.base import EMBEDDED, Delivery
from app.jobs.delivery.by_celery import CeleryDelivery
from app.prices.base import PriceSource
from app.prices.files import FilePrices
from app.prices.sample import SamplePrices
from app.prices.snapshot_folder import SnapshotFolder
from app.prices.snapshots import SnapshotFiles, SnapshotStore
from app.settings import Settings

if TYPE_CHECKING:
    from app.objects.s3 import S3Folder

RESTORING = ".restoring-"
"""How the name of a folder begins that marks a home whose restore is under way, or was cut off."""

INSTALL_SCALE = "in the checkout, .venv/bin/python -m pip install -e '.[scale]'"
"""How what many hosts need is installed."""


def open_services(settings: Settings, *, clock: Callable[[], datetime] | None = None, new: bool = True) -> Services:
    """Wire the parts of one process and bring the registry's schema up to date; without ``new``, of one that is there.

    Raises:
        StoreUnavailable: the database or a folder cannot be used; the message names it.
    """
    _refuse_half_restored(settings.state_dir)
    _refuse_lost_registry(settings, new=new)
    _make(settings.state_dir)
    database = Database(settings.registry_url)
    database.upgrade()
    artifacts = _artifacts(settings)
    clock = clock or (lambda: datetime.now(UTC))
    return Services(
        settings=settings,
        database=database,
        artifacts=artifacts,
        models=LoadedModels(artifacts),
        snapshots=SnapshotStore(_snapshot_files(settings)),
        sources=_sources(settings, database, clock),
        clock=clock,
        delivery=_delivery(settings),
    )


def folder_prices(folder: Path) -> PriceSource:
    """Return the price source of a folder of CSV files, for work that needs no other service."""
    return FilePrices(folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{folder} cannot be made: {error.strerror}.", folder=str(folder)) from error


def _refuse_half_restored(home: Path) -> None:
    """Begin nothing where a restore has put some of what it brings, and not all: then its folder is not empty."""
    for mark in home.glob(f"{RESTORING}*"):
        if (home / "morrow.db").is_file():
            with suppress(OSError):
                mark.rmdir()
        if mark.exists():
            detail = f"A restore into {home} is under way, or was cut off: wait for it, or run the same one again."
            hint = "That begins anew: bundles, snapshots and registry that are in the folder by now are taken away."
            raise StoreUnavailable(f"{detail} {hint}", folder=str(home))


def _refuse_lost_registry(settings: Settings, *, new: bool) -> None:
    """Begin no empty registry beside bundles that another one names."""
    file = settings.state_dir / "morrow.db"
    if settings.database_url or (file.is_file() and file.stat().st_size):
        return
    if any(settings.models_dir.glob("*/*/manifest.json")):
        detail = f"The registry {file} is gone, but its bundles are there, in {settings.models_dir}."
        hint = "Restore a backup; or take them away to begin anew."
        raise StoreUnavailable(f"{detail} {hint}", folder=str(settings.models_dir))
    if not new and not file.exists():
        detail = f"There is no registry {file}: is MORROW_HOME the right folder? `morrow serve` makes one."
        raise StoreUnavailable(detail, folder=str(settings.state_dir))


def _artifacts(settings: Settings) -> ArtifactStore:
    if not _on_s3(settings.models_store):
        return LocalArtifacts(settings.models_dir)
    store: ArtifactStore = _adapter("app.artifacts.s3").S3Artifacts(
        _s3_folder(settings, settings.models_store, holds="model store")
    )
    return store


def _snapshot_files(settings: Settings) -> SnapshotFiles:
    if not _on_s3(settings.snapshots_store):
        return SnapshotFolder(settings.snapshots_dir)
    return _s3_folder(settings, settings.snapshots_store, holds="store of snapshots")


def _on_s3(place: str | None) -> TypeGuard[str]:
    return place is not None and place.startswith("s3://")


def _s3_folder(settings: Settings, url: str, *, holds: str) -> S3Folder:
    endpoint = str(settings.s3_endpoint_url) if settings.s3_endpoint_url else None
    folder: S3Folder = _adapter("app.objects.s3").S3Folder(url, holds=holds, endpoint_url=endpoint)
    return folder


def _adapter(name: str) -> ModuleType:
    """Import what talks to S3, for who needs it: it costs a process a second and is an extra."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        detail = f"A store on S3 needs more packages ({error.name} is missing): {INSTALL_SCALE}"
        raise StoreUnavailable(detail, missing=error.name) from error


def _delivery(settings: Settings) -> Delivery:
    if settings.broker_url is None:
        return EMBEDDED
    return CeleryDelivery(settings.broker_url, settings.train_queue, settings.job_timeout_seconds)


def _sources(settings: Settings, database: Database, clock: Callable[[], datetime]) -> dict[str, PriceSource]:
    longest = timedelta(seconds=settings.yahoo_pause_seconds)
    patience = Patience(first_pause=min(Patience.first_pause, longest), longest_pause=longest)
    yahoo = GuardedPrices(_LazyYahoo(settings), database, patience=patience, clock=clock)
    sources: list[PriceSource] = [yahoo, SamplePrices()]
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
            requests_per_second=self.settings.yahoo_requests_per_second,
        )
        return client
