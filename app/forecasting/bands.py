"""Which band is displayed for a level: learnt from the version's backtest, then from what its live forecasts met."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.forecast import Bands
from app.domain.score import SCORED, Score
from app.domain.scorecard import Calibration
from app.domain.version import ModelVersion
from app.errors import CorruptArtifact
from app.evaluation.calibration import LEVELS, nonconformity, shown_levels
from app.forecasting.services import Services
from app.registry import scores

Floats = NDArray[np.float64]

_ALL = 2**31 - 1


def bands_of(ticker: str, version: ModelVersion | None, *, services: Services) -> Bands:
    """Return the bands to display with the next forecast of ``version``; ``None`` is the baseline, without a backtest.

    What was forecast live counts as it was displayed; backfills count nowhere.

    Raises:
        StoreUnavailable: disk or database refuse; try again later.
    """
    backtest = _backtest_pits(version, services=services) if version else np.array([])
    number = version.number if version else None
    with services.database.read() as tx:
        record = scores.record(tx, origin="live", ticker=ticker, version=number, window=_ALL)
    live = [score for score in record if score.state == SCORED]
    pits = np.concatenate([backtest, [score.pit for score in live], [np.nan]])
    shown = shown_levels(pits, LEVELS)
    return Bands(
        levels=tuple(zip(LEVELS, shown[-1].tolist(), strict=True)),
        kept=(*_backtest_kept(backtest, shown[: len(backtest)]), *_live_kept(live)),
    )


def _backtest_pits(version: ModelVersion, *, services: Services) -> Floats:
    """Return the PITs of the version's out-of-sample sessions; none when its files are damaged or know of none."""
    file = version.artifacts.get("predictions.json")
    if file is None:
        return np.array([])
    try:
        text = services.artifacts.read(version.location, "predictions.json", sha256=file["sha256"])
    except CorruptArtifact:
        return np.array([])
    return np.array(json.loads(text).get("pit", []), dtype=np.float64)


def _backtest_kept(pits: Floats, shown: Floats) -> list[Calibration]:
    known = np.isfinite(pits)
    if not known.any():
        return []
    shares = np.mean(nonconformity(pits[known])[:, None] <= shown[known], axis=0)
    count = int(known.sum())
    return [Calibration(level=p, empirical=float(s), n=count) for p, s in zip(LEVELS, shares, strict=True)]


def _live_kept(live: Sequence[Score]) -> list[Calibration]:
    if not live:
        return []
    held = [[bool((score.inside or {})[f"{level:g}"]["displayed"]) for level in LEVELS] for score in live]
    shares = np.mean(held, axis=0)
    return [
        Calibration(level=p, empirical=float(s), n=len(live), origin="live")
        for p, s in zip(LEVELS, shares, strict=True)
    ]
