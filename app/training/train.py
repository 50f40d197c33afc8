"""Training, top to bottom: from an order to a registered, judged model version."""

from __future__ import annotations

from app.dataset.prepare import prepare
from app.domain.order import TrainingOrder
from app.domain.version import ModelVersion
from app.evaluation.verdict import judge
from app.forecasting.market_data import RawBars
from app.forecasting.services import Services
from app.training.fit import fit_final, make_learners, with_spreads
from app.training.pack import pack
from app.training.register import Candidate, Complete, champion_of, register
from app.training.report import Report
from app.training.stopwatch import Stopwatch
from app.training.walk import walk_forward


def train_model(
    order: TrainingOrder,
    bars: RawBars,
    *,
    services: Services,
    report: Report,
    complete: Complete,
    job_id: str | None,
    submitted_by: str,
) -> ModelVersion:
    """Train the network that ``order`` describes on ``bars``, judge it, keep it.

    Nothing is kept before the network is judged and its export checked; version, forecast, alias and the job's
    end become visible in one transaction, through ``complete``, or not at all.

    Raises:
        InvalidBars, NotEnoughHistory: the order cannot be filled; it is no use to try again.
        StoreUnavailable: try again later.
        FitDiverged, ParityFailed: the network is no good; change the spec.
        WorkerLost: another worker has taken the job over; nothing of this attempt remains.
    """
    watch = Stopwatch(report)

    with watch.stage("dataset"):
        market = bars.audited_for(order.spec, start=order.data.start)
        history = market.within(order.data)
        dataset = prepare(history.bars, order.spec, market.peer_bars)

    with watch.stage("backtest"):
        champion = champion_of(order.ticker, services=services)
        learners = make_learners(dataset)
        played, last_fit = walk_forward(dataset, history.bars, order.evaluation, learners, report)
        scorecard = judge(played, order.spec, champion_crps=champion.crps if champion else None)

    with watch.stage("fit"):
        network = last_fit if order.evaluation.kind == "fixed" else fit_final(dataset, learners, report)
        network = with_spreads(network, dataset, played[0].origins, [one.residuals for one in played])

    with watch.stage("export"):
        bundle = pack(network, dataset, scorecard, played, sessions=history.bars.sessions)

    candidate = Candidate(
        order=order,
        market=market,
        history=history.between(end=network.known_through),
        scorecard=scorecard,
        bundle=bundle,
        judged_against=champion,
        seconds=watch.seconds,
    )
    return register(candidate, services=services, complete=complete, job_id=job_id, submitted_by=submitted_by)
