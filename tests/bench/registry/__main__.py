"""Measure a registry of the size that is asked for, and a day's refresh, and print a table."""

from __future__ import annotations

import argparse

from app.cli.console import out
from tests.bench.processes import forget_settings
from tests.bench.registry.day import TICKERS, day
from tests.bench.registry.fill import Size
from tests.bench.registry.scale import scale
from tests.bench.report import table_of


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.registry", description=__doc__)
    parser.add_argument("--tickers", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=100_000)
    parser.add_argument("--forecasts", type=int, default=5_000_000)
    parser.add_argument("--share", type=float, default=1.0, help="of all three; 1.0 takes 29 GB and some minutes")
    parser.add_argument("--refreshed", type=int, default=TICKERS, help="tickers of the day's refresh; 0: none")
    asked = parser.parse_args()
    forget_settings()
    size = Size(tickers=asked.tickers, versions=asked.versions, forecasts=asked.forecasts)
    out.print(table_of([*scale(size, share=asked.share), *(day(asked.refreshed) if asked.refreshed else ())]))


if __name__ == "__main__":
    main()
