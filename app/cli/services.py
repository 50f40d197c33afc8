"""The services of this machine, for a command that works on them itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from app.bootstrap import open_services
from app.cli.environment import read_settings
from app.forecasting.services import Services
from app.observability.logs import configure_logging


@contextlib.contextmanager
def quiet_services(*, new: bool = True) -> Iterator[Services]:
    """Open the services for a command that shows its own output: nothing below a warning is logged.

    Without ``new``, for who looks after a registry, one has to be there: in a wrong folder an empty one is no success.
    """
    settings = read_settings()
    level = settings.log_level if "log_level" in settings.model_fields_set else "warning"
    configure_logging(level, settings.log_format)
    services = open_services(settings, new=new)
    try:
        yield services
    finally:
        services.database.close()
