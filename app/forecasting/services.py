"""What every step may reach: the ports and stores of one process, passed in, never global."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.artifacts.base import ArtifactStore
from app.db.engine import Database
from app.errors import UnknownSource
from app.forecasting.loaded_models import LoadedModels
from app.jobs.delivery.base import EMBEDDED, Delivery
from app.prices.base import UPLOAD, PriceSource
from app.prices.snapshots import SnapshotStore
from app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Services:
    """The wired parts of one process; ``clock`` returns the present as aware UTC."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    models: LoadedModels
    snapshots: SnapshotStore
    sources: Mapping[str, PriceSource]
    clock: Callable[[], datetime]
    delivery: Delivery = EMBEDDED

    def now(self, tx: Connection) -> datetime:
        """Return the present by the clock that all who share the registry go by.

        Leases, and whatever else of a job or a worker one host writes and another compares, depend on it: the clocks
        of hosts differ. It is PostgreSQL's own; with SQLite there is one host, and its clock is as good.
        """
        return self.database.now(tx) or self.clock()

    @property
    def refresh_delay(self) -> timedelta:
        """Wait after a session's close before its bar is fetched."""
        return timedelta(seconds=self.settings.refresh_delay_seconds)

    @property
    def refresh_retry(self) -> timedelta:
        """Wait until a late bar is asked for again."""
        return timedelta(seconds=self.settings.refresh_retry_seconds)

    @property
    def cores(self) -> int:
        """Cores that this process may run on."""
        known = hasattr(os, "sched_getaffinity")  # not everywhere
        return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1

    @property
    def training_threads(self) -> int:
        """Cores that one training may use: as set, else those there are shared between the workers."""
        return self.settings.train_threads or max(self.cores // max(self.settings.workers, 1), 1)

    def source(self, name: str) -> PriceSource:
        """Return the price source called ``name``.

        Raises:
            UnknownSource: none of that name is configured; the error names those that are.
        """
        if name not in self.sources:
            known = sorted([*self.sources, UPLOAD])
            hint = " Set MORROW_FILES_DIR for it." if name == "files" else ""
            detail = f"Unknown source {name!r}. Configured: {', '.join(known)}.{hint}"
            raise UnknownSource(detail, pointer="/data/source", known=known)
        return self.sources[name]
