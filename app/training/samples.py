"""What a network learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs ``(samples, window, columns)`` and targets ``(samples, reach x targets, 1)``, oldest first."""

    inputs: Numbers
    targets: Numbers

    def __len__(self) -> int:
        return len(self.inputs)
