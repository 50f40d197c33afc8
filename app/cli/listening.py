"""Who may start: to listen for others than this machine, only with keys; and never without what the settings need."""

from __future__ import annotations

from importlib.util import find_spec

from app.bootstrap import INSTALL_SCALE
from app.cli.console import give_up
from app.forecasting.services import Services
from app.registry import keys


def refuse_without_keys(services: Services) -> None:
    """Give up when others could reach a service that asks nobody for a key."""
    settings = services.settings
    if not settings.is_exposed or settings.admin_key_file is not None:
        return
    with services.database.read() as tx:
        if keys.is_any(tx):
            return
    services.database.close()
    give_up(
        f"{settings.host} can be reached by others and there is no key: make one with "
        "`morrow keys create --name me --scope admin`, or name a file with one in MORROW_ADMIN_KEY_FILE."
    )


def refuse_without_carrier(broker_url: str | None) -> None:
    """Give up when a broker is to tell of jobs and what talks to it is not installed."""
    if broker_url is not None:
        client = ("redis",) if broker_url.startswith("redis") else ()
        _require("celery", *client, wanted="MORROW_BROKER_URL: a broker takes")


def refuse_without_counter(storage: str) -> None:
    """Give up when requests are to be counted in a Redis (``storage``) and its client is not installed."""
    if storage != "memory":
        _require("redis", wanted="MORROW_RATE_LIMIT_STORAGE: to count in Redis takes")


def _require(*packages: str, wanted: str) -> None:
    missing = next((name for name in packages if find_spec(name) is None), None)
    if missing:
        give_up(f"{wanted} more packages ({missing} is missing): {INSTALL_SCALE}")
