"""``morrow serve | worker``: nothing in here needs the libraries of the API."""

from __future__ import annotations

import os
import signal
import socket
import threading

from app.bootstrap import open_services
from app.cli.console import err, give_up
from app.cli.environment import read_settings
from app.cli.listening import refuse_without_carrier, refuse_without_counter, refuse_without_keys
from app.jobs.delivery.by_celery import CeleryDelivery
from app.observability.logs import configure_logging
from app.settings import Settings
from app.worker import supervisor
from app.worker.loop import work_until_signalled
from app.worker.parentage import follow_parent


def serve(*, host: str | None, port: int | None, workers: int | None, first_run: bool, once: bool) -> int:
    """Run API and workers until a signal; with ``first_run`` show a forecast meanwhile; return the exit code."""
    if once and not first_run:
        give_up("--once goes with --first-run", code=2)
    settings = read_settings(host=host, port=port, workers=workers)
    if first_run and "log_level" not in settings.model_fields_set:
        # The children's lines would cut through the progress bar.
        settings = read_settings(log_level="warning")
    configure_logging(settings.log_level, settings.log_format)
    # What makes every start fail is said once, not by each child in turn.
    _refuse_queues(settings)
    refuse_without_carrier(settings.broker_url)
    refuse_without_counter(settings.rate_limit_storage)
    open_services(settings).database.close()
    if settings.is_exposed:
        _refuse_without_keys(settings)
    if not first_run:
        return supervisor.serve(settings)
    return _serve_and_show(settings, once=once)


def _refuse_without_keys(settings: Settings) -> None:
    services = open_services(settings)
    refuse_without_keys(services)
    services.database.close()


def _serve_and_show(settings: Settings, *, once: bool) -> int:
    """Serve from this thread, which receives the signals, and show the forecast from another."""
    if _is_taken(settings.port):
        # Else the forecast of whoever listens there would be shown as ours.
        give_up(f"Port {settings.port} is taken; choose another with --port or MORROW_PORT (make run PORT=...).")
    # Only a first run talks to the API.
    from app.cli.first_run import first_run as show_first_forecast

    stop = threading.Event()
    shown: list[bool] = []

    def show() -> None:
        shown.append(show_first_forecast(_address(settings), stop=stop, once=once))
        if once and not stop.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    guide = threading.Thread(target=show, daemon=True)
    err.print(f"Starting Morrow on {_address(settings)} ...", markup=False)
    guide.start()
    code = supervisor.serve(settings)
    stop.set()
    guide.join(timeout=5)
    return code or int(once and shown != [True])


def worker(*, queues: str | None) -> None:
    """Run one worker until a signal."""
    follow_parent()
    settings = read_settings(queues=queues)
    _refuse_queues(settings)
    refuse_without_carrier(settings.broker_url)
    configure_logging(settings.log_level, settings.log_format)
    services = open_services(settings)
    work_until_signalled(services)
    services.database.close()


def _refuse_queues(settings: Settings) -> None:
    """Refuse queues that nobody will ever tell of anything in."""
    if not settings.queues:
        return
    if settings.broker_url is None:
        give_up("queues are a broker's: set MORROW_BROKER_URL, or leave them out", code=2)
    known = CeleryDelivery(settings.broker_url, settings.train_queue, settings.job_timeout_seconds).queues
    if unknown := sorted(set(settings.queues) - set(known)):
        give_up(f"no queue {', '.join(unknown)}; there are {', '.join(known)}", code=2)


def _is_taken(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(1.0)
        return caller.connect_ex(("127.0.0.1", port)) == 0


def _address(settings: Settings) -> str:
    """Where this machine reaches the API, also when it listens on all addresses."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104  # compared, not bound
    return f"http://{host}:{settings.port}"
