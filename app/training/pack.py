"""Everything that a version consists of, gathered and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.artifacts.bundle import Bundle
from app.artifacts.folds import to_zip
from app.dataset.prepare import Dataset
from app.domain.history import Sessions
from app.domain.scorecard import Scorecard
from app.evaluation.backtest import Backtest
from app.evaluation.charts import nothing_fitted, one_step, path, predictions
from app.training.export import check_parity, export_onnx, golden_sample, weights_npz
from app.training.fitted import FittedNetwork


def pack(
    network: FittedNetwork,
    dataset: Dataset,
    scorecard: Scorecard,
    played: Sequence[Backtest],
    *,
    sessions: Sessions,
    folds: bytes | None = None,
) -> Bundle:
    """Export the network, check the export against it, and gather all that a version consists of.

    ``folds`` are the networks of the backtest, where they are kept.

    Raises:
        ParityFailed: the exported network answers differently; it must not be served.
    """
    onnx = export_onnx(network)
    check_parity(network, onnx, dataset)
    return Bundle(
        onnx=onnx,
        weights=weights_npz(network),
        spec=network.spec.to_dict(),
        scalers=network.scaling.to_dict(),
        scorecard=scorecard.to_dict(),
        golden=golden_sample(network, dataset),
        predictions=predictions(played),
        fitted=_fitted(network, dataset),
        path=path(played[0], sessions),
        curves=_curves(network),
        folds=folds,
    )


def pack_folds(networks: Sequence[FittedNetwork], dataset: Dataset) -> bytes:
    """Export the networks of a backtest, oldest first.

    Raises:
        ParityFailed: an exported network answers differently; it must not judge anything.
    """
    folds = []
    for network in networks:
        onnx = export_onnx(network)
        check_parity(network, onnx, dataset)
        folds.append((onnx, network.scaling.to_dict()))
    return to_zip(folds)


def _fitted(network: FittedNetwork, dataset: Dataset) -> dict[str, Any]:
    """What the network says of the ticker's sessions that it has learnt from, a step ahead."""
    if not len(network.learnt):
        return nothing_fitted()
    said, *_ = network.predict(dataset, network.learnt, steps=1)
    at = network.learnt
    return one_step(dataset.next_sessions[at], dataset.values[at], dataset.targets[at], said)


def _curves(network: FittedNetwork) -> dict[str, Any]:
    """The losses of the first network, and of each where several are averaged."""
    first, *others = network.curves
    if not others:
        return first.to_dict()
    names = [(member.architecture, draw) for member in network.spec.networks for draw in range(network.spec.seeds)]
    members = [
        {"architecture": name, "seed": network.spec.seed + draw, **curves.to_dict()}
        for (name, draw), curves in zip(names, network.curves, strict=True)
    ]
    return {**first.to_dict(), "members": members}
