"""``morrow api``: the API as a process."""

from __future__ import annotations

import gc
import signal

import uvicorn

from app.api.app import create_app
from app.api.server import ApiServer
from app.bootstrap import open_services
from app.cli.environment import read_settings
from app.cli.listening import refuse_without_carrier, refuse_without_counter, refuse_without_keys
from app.observability.logs import configure_logging
from app.worker.parentage import follow_parent

_STOP_SECONDS = 15
_NOT_STARTED = 3  # uvicorn's own code for it


def api(*, host: str | None, port: int | None) -> None:
    """Run the API until SIGTERM or SIGINT; what is being answered then has a few seconds to end."""
    follow_parent()
    settings = read_settings(host=host, port=port)
    configure_logging(settings.log_level, settings.log_format)
    refuse_without_carrier(settings.broker_url)
    refuse_without_counter(settings.rate_limit_storage)
    services = open_services(settings)
    refuse_without_keys(services)
    app = create_app(services)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        root_path=settings.root_path,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=_STOP_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
    )
    config.load()
    server = ApiServer(config, app.state.watch)
    # uvicorn takes the signals over while it runs, and raises them once more when it has stopped in order: neither
    # that one nor one that comes a moment too early may kill us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    gc.freeze()  # what is here now is here to stay, and no request should wait while it is looked through
    # A page of fifty forecasts makes some 30 000 objects, all of which go with their last reference.
    gc.set_threshold(50_000, 10, 10)
    gc.enable()
    server.run()
    services.database.close()
    if not server.started:
        raise SystemExit(_NOT_STARTED)
