"""What a worker is beside the jobs that it does: on the list of those alive, and one of those who keep house."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator

import structlog

from app.errors import StoreUnavailable
from app.forecasting.services import Services
from app.jobs import fleet
from app.worker.upkeep import clear_up, keep_house

_CLEARING_SECONDS = 2.0

log = structlog.get_logger(__name__)


def new_worker_id() -> str:
    """Return an id that no worker has had: host, process and chance."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


@contextlib.contextmanager
def on_duty(services: Services, *, worker_id: str, stop: threading.Event) -> Iterator[None]:
    """Keep house beside the block, in threads; at its end set ``stop`` and sign off."""
    upkeep = threading.Thread(target=keep_house, args=(services,), kwargs={"worker_id": worker_id, "stop": stop})
    # A daemon: what it clears it clears one by one, so that a stop need not wait for the rest.
    clearing = threading.Thread(target=clear_up, args=(services,), kwargs={"stop": stop}, daemon=True)
    upkeep.start()
    clearing.start()
    log.info("worker ready", worker_id=worker_id)
    try:
        yield
    finally:
        stop.set()
        upkeep.join()
        clearing.join(timeout=_CLEARING_SECONDS)
        _sign_off(services, worker_id)


def _sign_off(services: Services, worker_id: str) -> None:
    try:
        with services.database.write() as tx:
            fleet.forget(tx, worker_id)
    except StoreUnavailable as error:
        # It will be missed at the next count anyway.
        log.warning("worker left without a word", reason=error.detail)
    log.info("worker stopped", worker_id=worker_id)
