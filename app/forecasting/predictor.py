"""A version at work: bars in, distributions out, by the same steps that its training took."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from app.dataset.features import input_names
from app.dataset.prepare import NO_PEERS, Dataset, Peers, prepare
from app.dataset.recursion import foretell
from app.dataset.scaling import Scaling
from app.dataset.windows import Origins
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

    def predict(self, bars: Bars, peers: Peers = NO_PEERS) -> tuple[Predictive, ...]:
        """Forecast from the last session that ``bars`` and all ``peers`` share, one ``(1, horizon)`` a target.

        Raises:
            NotEnoughHistory, InvalidBars, NeedsPeers: as ``read``.
        """
        return self.foretell(self.read(bars, peers))

    def read(self, bars: Bars, peers: Peers = NO_PEERS) -> Dataset:
        """Return what the network reads up to the last session that ``bars`` and all ``peers`` share.

        Raises:
            NotEnoughHistory: fewer bars than window and features need; bring ``need``.
            InvalidBars: a field that the version uses has gaps; audit the bars first.
            NeedsPeers: the version reads peers that are not given.
        """
        memory = MEMORY_BARS + self.spec.window
        # Counted in shared sessions: of a peer that is seldom traded as many bars count as of the ticker.
        shared = reduce(np.intersect1d, (one.sessions for one in (bars, *peers.values())))
        if len(shared) > memory:
            oldest = shared[-memory]
            bars = bars.rows(bars.sessions >= oldest)
            peers = {name: peer.rows(peer.sessions >= oldest) for name, peer in peers.items()}
        return prepare(bars, self.spec, peers)

    def foretell(self, dataset: Dataset) -> tuple[Predictive, ...]:
        """Forecast from the last row of ``dataset``, one ``(1, horizon)`` a target."""
        return self.predict_at(dataset, np.array([len(dataset) - 1]))

    def predict_at(self, dataset: Dataset, origins: Origins) -> tuple[Predictive, ...]:
        """Forecast from each of ``origins``, one distribution a target, ``(origins, horizon)``."""
        return foretell(self._network.run, dataset, origins, self._scaling)

    def unseen_inputs(self, dataset: Dataset) -> tuple[str, ...]:
        """Name the columns whose newest window leaves what the network has learnt from."""
        outside = self._scaling.features.outside(dataset.features[-self.spec.window :])
        return tuple(name for name, is_outside in zip(input_names(self.spec), outside, strict=True) if is_outside)
