"""The compose file as data, with the names of what belongs together."""

from __future__ import annotations

import yaml

from tests.packaging import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("api", "worker")
#: Runs to its end before anything else: nobody could ask for its health.
ONE_SHOT = ("store-folder",)


def profiles_of(name: str) -> tuple[str, ...]:
    return tuple(SERVICES[name].get("profiles", ()))


def at(folder: str) -> dict[str, str]:
    """What of the host a service sees, by where it sees it: ``host path -> mode``."""
    found = {}
    for volume in SERVICES[folder].get("volumes", ()):
        source, *rest = volume.split(":")
        if source.startswith((".", "/")):
            found[source] = rest[-1]
    return found
