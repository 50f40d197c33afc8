"""What a version consists of: the network and everything needed to use, judge and continue it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from app.artifacts.base import ArtifactStore
from app.errors import CorruptArtifact

_BINARY = {"onnx": "model.onnx", "weights": "weights.npz", "folds": "folds.zip"}
_OPTIONAL = "folds"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The files of one version.

    ``onnx`` is the network as ``model.onnx``, ``weights`` its weights as ``weights.npz`` for a warm
    start. The others are JSON without NaN: ``spec``, ``scalers``, ``scorecard``; ``golden`` (a sample
    window and the outputs that serving must reproduce), ``predictions`` (out of sample), ``fitted``
    (on what was learnt from) and ``path`` (all steps of the first forecast out of sample), true beside
    predicted in columns, and ``curves`` (losses per epoch). A pooled network brings the ``folds`` of its backtest
    (``app.artifacts.folds``). Tickers that share a network hold a copy each: a version then needs no other to be
    served, judged or deleted, and a network is small.
    """

    onnx: bytes
    weights: bytes
    spec: Mapping[str, Any]
    scalers: Mapping[str, Any]
    scorecard: Mapping[str, Any]
    golden: Mapping[str, Any]
    predictions: Mapping[str, Any]
    fitted: Mapping[str, Any]
    path: Mapping[str, Any]
    curves: Mapping[str, Any]
    folds: bytes | None = None


FILES: Mapping[str, str] = {field.name: _BINARY.get(field.name, f"{field.name}.json") for field in fields(Bundle)}


def to_files(bundle: Bundle) -> dict[str, bytes]:
    """Return the bundle as file names and bytes; floats survive to the last bit.

    Raises:
        ValueError: a number is NaN or infinite; say ``None`` instead.
    """
    contents = {name: getattr(bundle, field) for field, name in FILES.items()}
    there = {name: value for name, value in contents.items() if value is not None}
    return {name: value if isinstance(value, bytes) else _to_json(value) for name, value in there.items()}


def load_bundle(artifacts: ArtifactStore, key: str, files: Mapping[str, Mapping[str, Any]]) -> Bundle:
    """Read a version's bundle; ``files`` is its ``artifacts``: names to ``{"sha256", "bytes"}``.

    Raises:
        CorruptArtifact: a file is gone, altered or was never registered; do not serve the version.
        StoreUnavailable: the disk refuses; try again later.
    """
    values: dict[str, Any] = {}
    for field, name in FILES.items():
        if name not in files and field == _OPTIONAL:
            continue
        if name not in files:
            raise CorruptArtifact(f"{name} of {key} was never registered.", key=key, name=name)
        data = artifacts.read(key, name, sha256=files[name]["sha256"])
        values[field] = data if field in _BINARY else json.loads(data)
    return Bundle(**values)


def bundle_key(ticker: str, number: int) -> str:
    """Return the key of a version's bundle: no ticker is ever a path."""
    return f"{hashlib.sha256(ticker.encode()).hexdigest()[:16]}/{number}"


def _to_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode() + b"\n"
