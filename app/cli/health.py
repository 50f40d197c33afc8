"""``morrow health``: asked every few seconds, so it loads no more than it takes to ask."""

from __future__ import annotations

import socket

from app.cli.console import give_up
from app.cli.environment import read_settings


def health(part: str) -> None:
    """Give up unless the API of this machine is ready, or a worker of it was heard of within a lease."""
    if part == "api":
        _api()
    elif part == "worker":
        _worker()
    else:
        give_up(f"{part}: either api or worker", code=2)


def _api() -> None:
    # A worker is asked after without HTTP.
    from app.client.readiness import is_ready

    port = read_settings().port
    if not is_ready(f"http://127.0.0.1:{port}"):
        give_up(f"The API on port {port} is not ready.")


def _worker() -> None:
    # The API is asked over HTTP, without opening the registry.
    from app.cli.services import quiet_services
    from app.jobs import fleet

    with quiet_services() as services, services.database.read() as tx:
        seconds = services.settings.lease_seconds
        alive = fleet.alive(tx, now=services.now(tx), within_seconds=seconds)
    if not any(worker.host == socket.gethostname() for worker in alive):
        give_up(f"No worker of {socket.gethostname()} was heard of within {seconds:g} seconds.")
