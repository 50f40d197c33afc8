"""Predictors in memory: verified, golden-checked, the least recently used dropped."""

from __future__ import annotations

import threading
from collections import OrderedDict

from app.artifacts.base import ArtifactStore
from app.artifacts.bundle import load_bundle
from app.dataset.scaling import Scaling
from app.domain.spec import NetworkSpec
from app.domain.version import ModelVersion
from app.errors import CorruptArtifact
from app.forecasting.predictor import Predictor


class LoadedModels:
    """The predictors of the versions used last; thread-safe."""

    def __init__(self, artifacts: ArtifactStore, *, capacity: int = 64) -> None:
        self._artifacts = artifacts
        self._capacity = capacity
        self._predictors: OrderedDict[str, Predictor] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, version: ModelVersion) -> Predictor:
        """Return the predictor of ``version``, loading and checking it when it is not in memory.

        A new version is loaded and checked before an old one is dropped.

        Raises:
            CorruptArtifact: a file differs from the registry's hash, or the network does not
                reproduce its golden sample; train the ticker again.
        """
        with self._lock:
            if version.manifest_sha256 in self._predictors:
                self._predictors.move_to_end(version.manifest_sha256)
                return self._predictors[version.manifest_sha256]
        predictor = load_predictor(version, self._artifacts)
        with self._lock:
            self._predictors[version.manifest_sha256] = predictor
            while len(self._predictors) > self._capacity:
                self._predictors.popitem(last=False)
        return predictor


def load_predictor(version: ModelVersion, artifacts: ArtifactStore) -> Predictor:
    """Load the bundle of ``version``, verify every hash and its golden sample.

    Raises:
        CorruptArtifact: see ``LoadedModels.get``.
    """
    # Late: a process that only hands out stored forecasts never runs a network, and stays 20 MB smaller.
    from app.forecasting.runtime import OnnxNetwork, reproduces

    bundle = load_bundle(artifacts, version.location, version.artifacts)
    network = OnnxNetwork(bundle.onnx)
    if not reproduces(network, bundle.golden):
        detail = f"{version.ticker} version {version.number} does not reproduce its golden sample."
        raise CorruptArtifact(detail, ticker=version.ticker, version=version.number)
    return Predictor(NetworkSpec.from_dict(bundle.spec), Scaling.from_dict(bundle.scalers), network)
