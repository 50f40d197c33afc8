"""A version at work: bars in, distributions out, by the same steps that its training took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from app.dataset.decoding import decode
from app.dataset.prepare import needed_bars, prepare
from app.dataset.scaling import Scaling
from app.dataset.windows import Origins, network_inputs
from app.domain.distribution import Predictive
from app.domain.history import Bars
from app.domain.spec import NetworkSpec
from app.forecasting.runtime import OnnxNetwork


class Predictor:
    """The network of one version with its spec and scaling; it may serve several threads at once."""

    def __init__(self, spec: NetworkSpec, scaling: Scaling, network: OnnxNetwork) -> None:
        self.spec = spec
        self._network = network
        self._scaling = scaling

    @classmethod
    def from_parts(cls, spec: NetworkSpec, scalers: Mapping[str, Any], network: OnnxNetwork) -> Predictor:
        """Put a predictor together from a bundle's parts; ``scalers`` is what ``Scaling.to_dict`` wrote."""
        return cls(spec, Scaling.from_dict(scalers), network)

    @property
    def needed_bars(self) -> int:
        """The fewest bars that one forecast needs; more before them steady what the features remember."""
        return needed_bars(self.spec)

    def predict(self, bars: Bars) -> Predictive:
        """Forecast from the last of ``bars``, ``(1, horizon)``.

        Raises:
            NotEnoughHistory: fewer bars than ``needed_bars``; bring ``need``.
            InvalidBars: a field that the version uses has gaps; audit the bars first.
        """
        return self.predict_origins(bars, np.array([len(bars) - 1]))

    def predict_origins(self, bars: Bars, origins: Origins) -> Predictive:
        """Forecast from each of the bars ``origins``, knowing none after it, ``(origins, horizon)``.

        Raises:
            NotEnoughHistory, InvalidBars: as ``predict``.
        """
        dataset = prepare(bars, self.spec)
        windows = network_inputs(dataset.features, origins, scaler=self._scaling.features, spec=self.spec)
        return decode(self._network.run(windows), dataset, origins, self._scaling)
