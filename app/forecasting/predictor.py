"""A version at work: bars in, distributions out, by the same steps that its training took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.dataset.decoding import decode
from app.dataset.prepare import prepare
from app.dataset.scaling import Scaling
from app.dataset.windows import Origins, network_inputs
from app.domain.distribution import Predictive
from app.domain.history import Bars
from app.domain.spec import NetworkSpec

if TYPE_CHECKING:
    from app.forecasting.runtime import OnnxNetwork


#: What lies further back weighs less in any feature than the rounding of its numbers: 0.94^650 is 3e-18.
MEMORY_BARS = 650


class Predictor:
    """The network of one version with its spec and scaling; it may serve several threads at once."""

    def __init__(self, spec: NetworkSpec, scaling: Scaling, network: OnnxNetwork) -> None:
        self.spec = spec
        self._network = network
        self._scaling = scaling

    def predict(self, bars: Bars) -> Predictive:
        """Forecast from the last of ``bars``, ``(1, horizon)``.

        Raises:
            NotEnoughHistory: fewer bars than window and features need; bring ``need``.
            InvalidBars: a field that the version uses has gaps; audit the bars first.
        """
        recent = bars.rows(slice(-(MEMORY_BARS + self.spec.window), None))
        return self.predict_origins(recent, np.array([len(recent) - 1]))

    def predict_origins(self, bars: Bars, origins: Origins) -> Predictive:
        """Forecast from each of the bars ``origins``, knowing none after it, ``(origins, horizon)``.

        Raises:
            NotEnoughHistory, InvalidBars: as ``predict``.
        """
        dataset = prepare(bars, self.spec)
        windows = network_inputs(dataset.features, origins, scaler=self._scaling.features, spec=self.spec)
        return decode(self._network.run(windows), dataset, origins, self._scaling)
