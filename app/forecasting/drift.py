"""How far a version's world has moved, and what is done about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app.dataset.features import input_names
from app.dataset.prepare import prepare
from app.domain.job import Job
from app.domain.order import TrainingOrder
from app.domain.score import SCORED
from app.domain.spec import NetworkSpec
from app.domain.version import ModelVersion
from app.evaluation.drift import ALARM, RECENT, coverage_drift, drift_of, input_drift, residual_drift
from app.forecasting.market_data import MarketData
from app.forecasting.services import Services
from app.jobs.submission import submit
from app.registry import scores, versions
from app.registry.readable import readable

WINDOW = 250  # live sessions


def check_drift(market: MarketData, version: ModelVersion, *, services: Services) -> dict[str, Any]:
    """Compare what ``version`` reads and gets wrong now with what it learnt, JSON-ready.

    Raises:
        NotEnoughHistory, InvalidBars: as a forecast.
    """
    spec = NetworkSpec.from_dict(version.order["spec"])
    dataset = prepare(market.history.bars, spec, market.peer_bars)
    rows = dataset.features[dataset.first_origin :]
    sessions = dataset.sessions[dataset.first_origin :]
    with services.database.read() as tx:
        record = scores.record(tx, origin="live", ticker=version.ticker, version=version.number, window=WINDOW)
    came = [one.pit for one in record if one.state == SCORED]
    pits = np.array(came, dtype=np.float64)
    learnt = rows[sessions <= np.datetime64(version.data.last_session)]
    return drift_of(
        [input_drift(learnt, rows[-RECENT:], input_names(spec)), residual_drift(pits), coverage_drift(pits)]
    )


def retrain(
    tx: Connection, champion: ModelVersion, drift: dict[str, Any], *, services: Services, now: datetime
) -> Job | None:
    """Queue a training by the champion's own order when ``drift`` alarms and the settings ask for it.

    Not while one of the same work is active, and not when a version has been trained since the last 60 sessions
    began: what it learnt is in it.

    Raises:
        CorruptRecord: the champion's order is mangled; train again.
    """
    if not services.settings.retrain_on_drift or drift["state"] != ALARM:
        return None
    newest = versions.newest(tx, champion.ticker)
    if newest is not None and (now - newest.created_at).days < RECENT * 7 / 5:
        return None
    with readable(f"The order of version {champion.number} of {champion.ticker}"):
        asked = TrainingOrder.from_dict(champion.order)
    order = replace(asked, data=replace(asked.data, end=None))  # up to now: the same bars would teach the same
    signs = ", ".join(sign["name"] for sign in drift["signs"] if sign["state"] == ALARM)
    job, known = submit(
        tx,
        kind="train",
        ticker=order.ticker,
        payload=order.to_dict(),
        dedupe=order.dedupe_key,
        max_attempts=services.settings.max_attempts,
        submitted_by=f"drift of {signs} of version {champion.number}",
        now=services.now(tx),
    )
    return None if known else job
