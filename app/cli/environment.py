"""From the environment and a command's options to settings and services."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.bootstrap import open_services
from app.cli.console import give_up
from app.forecasting.services import Services
from app.observability.logs import configure_logging
from app.settings import Settings


def read_settings(**options: Any) -> Settings:
    """Read the settings; an option that was given wins over its variable, for child processes too."""
    for name, value in options.items():
        if value is not None:
            os.environ[f"MORROW_{name.upper()}"] = str(value)
    try:
        return Settings()
    except ValidationError as error:
        give_up("; ".join(_refusal(dict(entry)) for entry in error.errors()), code=2)
    except SettingsError as error:
        give_up(str(error), code=2)


@contextlib.contextmanager
def quiet_services() -> Iterator[Services]:
    """Open the services for a command that shows its own output: nothing below a warning is logged."""
    settings = read_settings()
    level = settings.log_level if "log_level" in settings.model_fields_set else "warning"
    configure_logging(level, settings.log_format)
    services = open_services(settings)
    try:
        yield services
    finally:
        services.database.close()


def _refusal(entry: dict[str, Any]) -> str:
    name = "_".join(str(part) for part in entry["loc"]).upper()
    return f"MORROW_{name}: {entry['msg']} (have {entry['input']!r})"
