"""Small specs and the samples to fit them on."""

from __future__ import annotations

from typing import Any

from app.dataset.prepare import Dataset, prepare
from app.domain.spec import NetworkSpec
from tests.dataset.series import made_up_bars

BARS = made_up_bars(420)


def small_spec(**changes: Any) -> NetworkSpec:
    """A network that fits in a second."""
    return NetworkSpec(**{"window": 12, "units": (4,), "epochs": 2, "batch_size": 64, **changes})


def small_dataset(**changes: Any) -> Dataset:
    return prepare(BARS, small_spec(**changes))


def ignore(stage: str, fraction: float, /, **numbers: float) -> None:
    """A report that nobody reads."""
