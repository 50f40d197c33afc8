"""The real supervisor over toy children; ``service.py ROLE=MODULE,ARGUMENT… …``, a leading ``!`` is essential."""

from __future__ import annotations

import sys

from app.observability.logs import configure_logging
from app.worker import supervisor

supervisor._LONGEST_WAIT_SECONDS = 1.0  # where dozens are killed a minute, nobody would be left to kill


def role(text: str) -> supervisor.Role:
    name, _, arguments = text.lstrip("!").partition("=")
    command = (sys.executable, "-m", *arguments.split(","))
    return supervisor.Role(name=name, command=command, essential=text.startswith("!"))


if __name__ == "__main__":
    configure_logging("info", "json")
    sys.exit(supervisor.supervise([role(text) for text in sys.argv[1:]]))
