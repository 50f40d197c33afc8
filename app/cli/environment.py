"""From the environment and a command's options to settings."""

from __future__ import annotations

import os
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.cli.console import give_up
from app.settings import Settings

# Addresses, which may hold a password; of a mistyped one nobody knows where.
_ADDRESSES = ("_URL", "_STORE", "_STORAGE")


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


def _refusal(entry: dict[str, Any]) -> str:
    name = "_".join(str(part) for part in entry["loc"]).upper()
    words = str(entry["msg"]).removeprefix("Value error, ")
    if not name:  # of no one setting: the input would be all of them
        return words
    have = "" if name.endswith(_ADDRESSES) else f" (have {entry['input']!r})"
    return f"MORROW_{name}: {words}{have}"
