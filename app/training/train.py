"""Training, top to bottom: from an order to a registered, judged model version."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from app.dataset.prepare import prepare
from app.domain.order import TrainingOrder
from app.domain.version import ModelVersion
from app.evaluation.verdict import judge
from app.forecasting.market_data import RawBars
from app.forecasting.services import Services
from app.training.fit import FitAll, final_fit, make_learners, try_networks
from app.training.fitted import FittedNetwork, with_spreads
from app.training.pack import pack
from app.training.register import Candidate, Complete, champion_of, register
from app.training.report import Report
from app.training.stopwatch import Stopwatch
from app.training.walk import cut_folds, fits_of, play_folds


@dataclass(frozen=True, eq=False, kw_only=True)
class Training:
    """An order with the bars to train on, who is told how far it is, and how its job ends."""

    order: TrainingOrder
    bars: RawBars
    report: Report
    complete: Complete
    job_id: str | None
    submitted_by: str


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

    Raises:
        InvalidBars, NotEnoughHistory: the order cannot be filled; it is no use to try again.
        StoreUnavailable: try again later.
        FitDiverged, ParityFailed: the network is no good; change the spec.
        WorkerLost: another worker has taken the job over; nothing of this attempt remains.
    """
    training = Training(
        order=order, bars=bars, report=report, complete=complete, job_id=job_id, submitted_by=submitted_by
    )
    (result,) = train_models([training], services=services)
    if isinstance(result, Exception):
        raise result
    return result


def train_models(trainings: Sequence[Training], *, services: Services) -> list[ModelVersion | Exception]:
    """Train every order, and return the version of each or the error of ``train_model`` that it ended with.

    Each goes its own way, and none ends another; but the networks of all are fitted at once, those of one shape side
    by side. What goes wrong within the fits, or a report raises meanwhile, ends them all.
    """
    under_way: dict[int, tuple[_Steps, FitAll]] = {}
    results: dict[int, ModelVersion | Exception] = {}
    for number, training in enumerate(trainings):
        steps = _train(training, services)
        try:
            under_way[number] = steps, next(steps)
        except Exception as error:
            results[number] = error
    started, asked = time.perf_counter(), [one for _, one in under_way.values()]
    networks = try_networks(asked)
    each = (time.perf_counter() - started) / max(1, sum(one.tasks for one in asked))
    for (number, (steps, one)), fitted in zip(under_way.items(), networks, strict=True):
        try:
            steps.throw(fitted) if isinstance(fitted, Exception) else steps.send((fitted, each * one.tasks))
        except StopIteration as end:
            results[number] = end.value
        except Exception as error:
            results[number] = error
    return [results[number] for number in range(len(trainings))]


#: Yields what is to be fitted, is sent the networks and the seconds that they took, and returns the version.
_Steps = Generator[FitAll, tuple[list[FittedNetwork], float], ModelVersion]


def _train(training: Training, services: Services) -> _Steps:
    """Train one network: yield what is to be fitted, go on with the networks that are sent back.

    Nothing is kept before the network is judged and its export checked; version, forecast, alias and the job's
    end become visible in one transaction, through ``complete``, or not at all.
    """
    order, watch = training.order, Stopwatch(training.report)

    with watch.stage("dataset"):
        market = training.bars.audited_for(order.spec, start=order.data.start)
        history = market.within(order.data)
        dataset = prepare(history.bars, order.spec, market.peer_bars)

    with watch.stage("fit"):
        cut = cut_folds(dataset, order.evaluation)
        folds, once = fits_of(cut, dataset), order.evaluation.kind == "fixed"
        asked = FitAll(folds if once else [*folds, final_fit(dataset)], make_learners(dataset), training.report)
    networks, spent = yield asked
    watch.add("fit", spent)

    with watch.stage("backtest"):
        champion = champion_of(order.ticker, services=services)
        played = play_folds(cut, dataset, history.bars, networks[: len(folds)])
        scorecard = judge(played, order.spec, champion_crps=champion.crps if champion else None)
        network = with_spreads(networks[-1], dataset, played[0].origins, [one.residuals for one in played])

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
    return register(
        candidate,
        services=services,
        complete=training.complete,
        job_id=training.job_id,
        submitted_by=training.submitted_by,
    )
