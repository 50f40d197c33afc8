"""Adoption, top to bottom: the newest pooled network, judged on a ticker and kept as a version of it.

Nothing is fitted, and TensorFlow is not needed: the networks are those that were exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.artifacts.bundle import Bundle, load_bundle
from app.artifacts.folds import from_zip
from app.dataset.scaling import Scaling
from app.domain.order import TrainingOrder
from app.domain.scorecard import Scorecard
from app.domain.spec import NetworkSpec
from app.domain.version import ModelVersion
from app.evaluation.backtest import Backtest
from app.evaluation.charts import nothing_fitted, path, predictions
from app.evaluation.verdict import judge
from app.forecasting.market_data import RawBars
from app.forecasting.pooled import Member, adoption_of, make_member, newest_pooled
from app.forecasting.predictor import Predictor
from app.forecasting.runtime import OnnxNetwork
from app.forecasting.services import Services
from app.training.play import play_member
from app.training.register import Candidate, Complete, champion_of, register
from app.training.report import Report
from app.training.stopwatch import Stopwatch


def adopt_model(
    order: TrainingOrder,
    bars: RawBars,
    *,
    services: Services,
    report: Report,
    complete: Complete,
    job_id: str | None,
    submitted_by: str,
) -> ModelVersion:
    """Judge the newest pooled network on ``bars``, and keep it as a version of their ticker.

    Each window is forecast by the network that was fitted before it, what has come since the last by the one that is
    served: no forecast that counts is made by a network that had seen its day.

    Raises:
        NoPooledModel: there is none; train one on a universe.
        InvalidBars, NotEnoughHistory: the order cannot be filled; it is no use to try again.
        CorruptArtifact: the files of the pooled network are damaged; train the universe again.
        StoreUnavailable: try again later.
        WorkerLost: another worker has taken the job over; nothing of this attempt remains.
    """
    watch = Stopwatch(report)

    with watch.stage("dataset"):
        with services.database.read() as tx:
            source, known = newest_pooled(tx)
        order = adoption_of(order, source)
        member = make_member(order, bars, known)

    with watch.stage("backtest"):
        champion = champion_of(order.ticker, services=services)
        bundle = load_bundle(services.artifacts, source.location, source.artifacts)
        networks = [*_of_folds(bundle, order.spec), services.models.get(source)]
        played = play_member(member, [one.predict_at for one in networks])
        scorecard = judge(played, order.spec, champion_crps=champion.crps if champion else None)

    bundle = _judged_anew(bundle, scorecard, played, member)
    candidate = Candidate(
        order=order,
        market=member.market,
        history=member.history.between(end=known.known_through),
        scorecard=scorecard,
        bundle=bundle,
        judged_against=champion,
        seconds=watch.seconds,
        pooled=known,
    )
    return register(candidate, services=services, complete=complete, job_id=job_id, submitted_by=submitted_by)


def _of_folds(bundle: Bundle, spec: NetworkSpec) -> list[Predictor]:
    """Return the network of each window, oldest first."""
    folds = from_zip(bundle.folds or b"")
    return [Predictor(spec, Scaling.from_dict(scalers), OnnxNetwork(onnx)) for onnx, scalers in folds]


def _judged_anew(bundle: Bundle, scorecard: Scorecard, played: Sequence[Backtest], member: Member) -> Bundle:
    """Return the same network with what it is worth on another ticker, of which it has learnt nothing."""
    return replace(
        bundle,
        scorecard=scorecard.to_dict(),
        predictions=predictions(played),
        fitted=nothing_fitted(),
        path=path(played[0], member.history.bars.sessions),
    )
