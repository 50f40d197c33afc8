"""What a long job leaves behind for its next attempt: what it has found so far, and the bars it was found on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from app.domain.job import Job
from app.errors import StoreUnavailable, WorkerLost
from app.forecasting.market_data import RawBars
from app.forecasting.services import Services
from app.jobs import leases

log = structlog.get_logger(__name__)


def checkpoint_keeper(services: Services, job: Job, bars: RawBars) -> Callable[[dict[str, Any]], None]:
    """Return ``keep(checkpoint)``, which also remembers the snapshots of ``bars``.

    Raises (the returned function):
        WorkerLost: the lease is lost; let it pass, nothing of this attempt counts any more.
    """
    snapshots = {"own": bars.snapshot_id, "peers": {peer: one.snapshot_id for peer, one in bars.peers.items()}}

    def keep(checkpoint: dict[str, Any]) -> None:
        try:
            with services.database.write() as tx:
                ours = leases.keep_checkpoint(tx, job.job_id, job.fence, {**checkpoint, "snapshots": snapshots})
        except StoreUnavailable as error:
            # The next one holds all that this one did.
            log.warning("checkpoint not written", reason=error.detail)
            return
        if not ours:
            raise WorkerLost("The lease on the job is lost.", job_id=job.job_id)

    return keep


def bars_of(checkpoint: Mapping[str, Any], services: Services) -> RawBars:
    """Return the bars that the checkpoint was made on: newer ones would not compare.

    Raises:
        CorruptArtifact: a snapshot is missing or damaged; submit the job anew.
    """
    snapshots = checkpoint["snapshots"]

    def load(snapshot_id: str) -> RawBars:
        return RawBars(history=services.snapshots.load(snapshot_id), snapshot_id=snapshot_id)

    own = load(snapshots["own"])
    peers = {peer: load(snapshot_id) for peer, snapshot_id in snapshots["peers"].items()}
    return RawBars(history=own.history, snapshot_id=own.snapshot_id, peers=peers)
