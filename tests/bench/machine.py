"""What the machine can do at best: the limits that the other figures are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.bench.peers.job import seconds_of
from tests.bench.rows import Measured, Row, measured

ROUNDS = 9
SIZE = 2048
BYTES = 256_000_000


def section(_: Path) -> Iterator[Row]:
    """Multiply large matrices on all cores, and copy more than any cache holds."""
    left, right = np.random.default_rng(0).random((2, SIZE, SIZE), np.float32)
    product = np.empty_like(left)
    multiplied = _rate(lambda: np.matmul(left, right, out=product), 2 * SIZE**3 / 1e9, "GFLOP/s")
    yield Row(what="Product of large matrices, single precision, all cores", ours=multiplied)

    source, target = np.ones(BYTES, np.uint8), np.zeros(BYTES, np.uint8)
    copied = _rate(lambda: np.copyto(target, source), 2 * BYTES / 1e9, "GB/s")
    yield Row(what="Copy of memory, read and written, one core", ours=copied)


def _rate(work: Callable[[], object], amount: float, unit: str) -> Measured:
    work()
    return measured([amount / seconds_of(work) for _ in range(ROUNDS)], unit)
