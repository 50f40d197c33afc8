"""Judging, top to bottom: from an order to the scorecard that its training would get; nothing is kept."""

from __future__ import annotations

from typing import Any

from app.dataset.prepare import prepare
from app.domain.order import TrainingOrder
from app.evaluation.verdict import judge
from app.forecasting.market_data import RawBars
from app.forecasting.services import Services
from app.training.fit import make_learners
from app.training.register import champion_of
from app.training.report import Report
from app.training.stopwatch import Stopwatch
from app.training.walk import walk_forward


def backtest_model(order: TrainingOrder, bars: RawBars, *, services: Services, report: Report) -> dict[str, Any]:
    """Walk the network that ``order`` describes forward over ``bars`` and judge it, JSON-ready (``BacktestOut``).

    The steps are those of ``train_model`` up to the verdict, the present champion included.

    Raises:
        InvalidBars, NotEnoughHistory: the order cannot be filled; it is no use to try again.
        StoreUnavailable: try again later.
        FitDiverged: the network is no good; change the spec.
    """
    watch = Stopwatch(report)

    with watch.stage("dataset"):
        market = bars.audited_for(order.spec, start=order.data.start)
        history = market.within(order.data)
        dataset = prepare(history.bars, order.spec, market.peer_bars)

    with watch.stage("backtest"):
        champion = champion_of(order.ticker, services=services)
        played, _ = walk_forward(dataset, history.bars, order.evaluation, make_learners(dataset), report)

    with watch.stage("judge"):
        scorecard = judge(played, order.spec, champion_crps=champion.crps if champion else None)

    asked = order.to_dict()
    return {
        **{name: asked[name] for name in ("ticker", "preset", "spec", "evaluation")},
        "data": {
            "source": order.data.source,
            "snapshot_id": market.snapshot_id,
            "first_session": history.first_session.isoformat(),
            "last_session": history.last_session.isoformat(),
            "rows": len(history),
            "peers": dict(market.peer_snapshots),
        },
        **scorecard.to_dict(),
        "earned_champion": scorecard.earned_champion,
        "seconds": dict(watch.seconds),
    }
