"""Training, top to bottom: from an order to a registered, judged model version."""

from __future__ import annotations

from app.artifacts.bundle import Bundle
from app.dataset.prepare import prepare
from app.domain.order import TrainingOrder
from app.domain.version import ModelVersion
from app.evaluation.backtest import MODEL, predictions
from app.evaluation.verdict import judge
from app.forecasting.market_data import latest_bars
from app.forecasting.services import Services
from app.training.export import check_parity, export_onnx, golden_sample, weights_npz
from app.training.fit import fit_final, make_learners, with_spread_of
from app.training.learner import Report
from app.training.register import Candidate, Complete, champion_of, register
from app.training.stopwatch import Stopwatch
from app.training.threads import use_threads
from app.training.walk import walk_forward


def train_model(
    order: TrainingOrder,
    *,
    services: Services,
    report: Report,
    complete: Complete,
    job_id: str | None,
    submitted_by: str,
) -> ModelVersion:
    """Train the network that ``order`` describes, judge it, keep it.

    Nothing is kept before the network is judged and its export checked; version, forecast, alias and the job's
    end become visible in one transaction, through ``complete``, or not at all.

    Raises:
        UnknownTicker, InvalidBars, NotEnoughHistory: the order cannot be filled; it is no use to try again.
        SourceUnavailable, StoreUnavailable: try again later.
        FitDiverged, ParityFailed: the network is no good; change the spec.
        WorkerLost: another worker has taken the job over; nothing of this attempt remains.
    """
    watch = Stopwatch()
    use_threads(services.training_threads)

    with watch.stage("prices", report):
        market = latest_bars(order.ticker, order.data.source, services=services).audited_for(order.spec)
        history = market.within(order.data)
        dataset = prepare(history.bars, order.spec)

    with watch.stage("backtest", report):
        champion = champion_of(order.ticker, services=services)
        learners = make_learners(dataset)
        played, last_fit = walk_forward(dataset, order.evaluation, learners, report)
        scorecard = judge(played, order.spec, champion_crps=champion.crps if champion else None)

    with watch.stage("fit", report):
        network = last_fit if order.evaluation.kind == "fixed" else fit_final(dataset, learners, report)
        residuals = played.actual - played.contestants[MODEL].location
        network = with_spread_of(network, residuals, dataset.sigma[played.origins])

    with watch.stage("export", report):
        onnx = export_onnx(network)
        check_parity(network, onnx, dataset)

    bundle = Bundle(
        onnx=onnx,
        weights=weights_npz(network),
        spec=order.spec.to_dict(),
        scalers=network.scaling.to_dict(),
        scorecard=scorecard.to_dict(),
        golden=golden_sample(network, dataset),
        predictions=predictions(played),
        curves=network.curves.to_dict(),
    )
    candidate = Candidate(
        order=order,
        market=market,
        history=history.head(network.known_bars),
        scorecard=scorecard,
        bundle=bundle,
        judged_against=champion.number if champion else None,
        seconds=watch.seconds,
    )
    report("register", 0.0)
    return register(candidate, services=services, complete=complete, job_id=job_id, submitted_by=submitted_by)
