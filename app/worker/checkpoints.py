"""What a long job leaves behind for its next attempt: what it has found so far, and the bars it was found on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.job import Job
from app.forecasting.market_data import RawBars
from app.forecasting.services import Services
from app.jobs import leases
from app.worker.courtesy import write_or_go_on


def checkpoint_keeper(services: Services, job: Job, bars: RawBars) -> Callable[[dict[str, Any]], None]:
    """Return ``keep(checkpoint)``, which also remembers the snapshots of ``bars``.

    Raises (the returned function):
        WorkerLost: the lease is lost; let it pass, nothing of this attempt counts any more.
    """
    snapshots = {"own": bars.snapshot_id, "peers": {peer: one.snapshot_id for peer, one in bars.peers.items()}}

    def keep(checkpoint: dict[str, Any]) -> None:
        whole = {**checkpoint, "snapshots": snapshots}
        # One that is not written is no loss: the next one holds all that it did.
        write_or_go_on(
            services, job, lambda tx: leases.keep_checkpoint(tx, job.job_id, job.fence, whole), what="checkpoint"
        )

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
