"""How a fit went, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Curves:
    """Loss of every epoch; ``best_epoch`` is the one whose weights were kept, from 1; 0 when the start was best."""

    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    best_epoch: int

    def to_dict(self) -> dict[str, Any]:
        """Return the curves in chart-ready columns, JSON-ready."""
        epochs = list(range(1, len(self.loss) + 1))
        return {"epoch": epochs, "loss": self.loss, "val_loss": self.val_loss, "best_epoch": self.best_epoch}
