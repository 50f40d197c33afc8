"""Measure a registry of the size that is asked for, and a day's refresh, and print a table."""

from __future__ import annotations

import argparse

from app.cli.console import out, table
from tests.bench.registry.day import TICKERS, day
from tests.bench.registry.fill import Size
from tests.bench.registry.scale import scale


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.registry", description=__doc__)
    parser.add_argument("--tickers", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=100_000)
    parser.add_argument("--forecasts", type=int, default=5_000_000)
    parser.add_argument("--share", type=float, default=1.0, help="of all three; 1.0 takes 29 GB and some minutes")
    parser.add_argument("--refreshed", type=int, default=TICKERS, help="tickers of the day's refresh; 0: none")
    asked = parser.parse_args()
    size = Size(tickers=asked.tickers, versions=asked.versions, forecasts=asked.forecasts)
    numbers = [*scale(size, share=asked.share), *(day(asked.refreshed) if asked.refreshed else ())]
    rows = [
        (n.name, f"{n.value:,.3g}" if n.value < 100 else f"{n.value:,.0f}", n.unit, n.at_most and f"≤ {n.at_most:g}")
        for n in numbers
    ]
    out.print(table("what", "value", "unit", "goal", rows=rows))


if __name__ == "__main__":
    main()
