"""Where a network of distributions starts from: the best line of its newest bar."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from app.dataset.features import scale_free
from app.domain.scale_line import fit_scale_line
from app.domain.spec import NetworkSpec
from app.training.samples import Samples

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Anchor:
    """One line a step and target, ``numbers`` of them: ``weights`` ``(columns, numbers)``, ``bias`` and ``df``.

    ``drift`` ``(targets,)`` is that of each target's first step.
    """

    bias: Floats
    weights: Floats
    drift: Floats
    df: Floats

    def put_into(self, network: keras.Model) -> None:
        """Let a network that has learnt nothing say what the lines say."""
        network.get_layer("newest_bar").set_weights([self.weights, self.bias])
        network.get_layer("forecast").anchor(self.drift, self.df)


def fit_anchor(samples: Samples, spec: NetworkSpec) -> Anchor | None:
    """Fit the lines on the newest bars of ``samples``, what the network learns from and nothing else.

    With the columns of ``range`` they are HAR: a network that starts there has only to learn what HAR does not say
    (HARNet, https://arxiv.org/abs/2205.07719). Columns in currency do not count, for a line of them leads astray once
    prices have left the range that was seen. A point head has no anchor, nor has a network that reads nothing else.
    """
    columns = scale_free(spec)
    if spec.head == "point" or not columns.any():
        return None
    rows, targets = samples.inputs[:, -1, columns].astype(np.float64), samples.targets[:, :, 0].astype(np.float64)
    numbers = targets.shape[1]
    lines = [fit_scale_line(rows, targets[:, number]) for number in range(numbers)]
    weights = np.zeros((len(columns), numbers))
    weights[columns] = np.stack([line.weights for line in lines], axis=1)
    return Anchor(
        bias=np.array([line.bias for line in lines]),
        weights=weights,
        drift=np.array([line.drift for line in lines[:: spec.reach]]),
        df=np.array([line.df for line in lines]),
    )
