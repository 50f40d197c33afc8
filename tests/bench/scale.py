"""The registry at its full size: what clients and workers wait for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.bench.registry.fill import Size
from tests.bench.registry.scale import scale
from tests.bench.rows import Row

SIZE = Size(tickers=10_000, versions=100_000, forecasts=5_000_000)


def section(_: Path) -> Iterator[Row]:
    """Measure it beside a hundredth of it."""
    return scale(SIZE)
