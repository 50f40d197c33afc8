"""``python -m tests.chaos.hostile --requests 100000``: a real API under requests that nobody means well with."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from rich.console import Console

from app.bootstrap import open_services
from app.settings import Settings
from tests.api.rows import add_version, network_of, write_csv
from tests.bench.processes import forget_settings, running_api
from tests.chaos.hostile import raw, structure, values
from tests.chaos.hostile.answers import Answers, documented
from tests.chaos.tables import show, table

SHARES = ((structure, 0.3), (values, 0.65), (raw, 0.05))


def main() -> int:
    """Send the requests, print what came back, and return 1 when any answer may not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**6))
    asked = parser.parse_args()
    forget_settings()
    with tempfile.TemporaryDirectory() as folder:
        answers, took, crashed = attack(Path(folder), requests=asked.requests, number=asked.seed)
    statuses = sorted(answers.statuses.items())
    rows = [*statuses, ("all", sum(answers.statuses.values()))]
    show(table(f"Hostile requests (seed {asked.seed}, {took:.0f} s)", ("status", "answers"), rows))
    show(table("Sent", ("part", "requests"), list(answers.sent.items())))
    show(
        table("What may not be", ("what", "answers"), [*answers.offences.items(), ("crashes of the API", int(crashed))])
    )
    for line in answers.seen:
        Console(width=240).print(line, markup=False)
    return int(bool(answers.offences) or crashed)


def attack(home: Path, *, requests: int, number: int) -> tuple[Answers, float, bool]:
    """Start an API on a seeded registry and send; return the answers, the seconds, and whether the process died."""
    plant(home)
    with running_api("tests.chaos.hostile.api", home=home) as (client, pid, _):
        with urllib.request.urlopen(f"{client.url}/openapi.json") as answer:
            answers = Answers(documented(json.load(answer)))
        started = time.monotonic()
        for part, share in SHARES:
            part.send(client.url, answers, count=round(requests * share), number=number)
        took = time.monotonic() - started
        crashed = not Path(f"/proc/{pid}").exists()
        with urllib.request.urlopen(f"{client.url}/livez") as answer:
            crashed = crashed or answer.status != 200
    return answers, took, crashed


def plant(home: Path) -> None:
    """Two tickers with versions and forecasts, and one with too little of everything."""
    for ticker, bars in (("AAA", 1600), ("BBB", 1600), ("SHORT", 60)):
        write_csv(home / "prices", ticker, bars)
    services = open_services(Settings(home=home, source="files", files_dir=home / "prices"))
    for ticker in ("AAA", "BBB"):
        add_version(services, ticker, alias="champion", network=network_of())
        add_version(services, ticker)
    services.database.close()


if __name__ == "__main__":
    sys.exit(main())
