"""What a search may look at: bars that no test of the order will ever use, the same for all of its trials."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.dataset.prepare import Dataset, Peers, prepare
from app.dataset.targets import step_scale
from app.domain.distribution import Predictive, StudentT
from app.domain.history import Bars
from app.domain.order import Evaluation, fewest_samples
from app.domain.search import TuningOrder, trial_spec
from app.domain.spec import NetworkSpec
from app.domain.student_t import fit_spread
from app.errors import NotEnoughHistory
from app.evaluation.metrics import crps
from app.evaluation.rivals import ewma_t
from app.evaluation.splits import Fold, Split, split
from app.forecasting.market_data import RawBars
from app.training.fitted import FittedNetwork


@dataclass(frozen=True, eq=False, kw_only=True)
class Ground:
    """Audited bars and the origins that all trials share.

    Trials learn from the oldest of ``train`` and are compared on ``kept``, its newest; at ``first_test`` begins what
    the order's evaluation tests. ``baseline`` is the mean CRPS of EWMA-t on ``kept``. Origins are rows, and rows
    are the same for every window and all features. ``evaluation`` is the order's, as far as this history bears it: on a
    longer one it begins no earlier.
    """

    bars: Bars
    peers: Peers
    sessions: NDArray[np.datetime64]
    first_test: np.datetime64
    train: range
    kept: range
    baseline: float
    evaluation: Evaluation

    def dataset(self, spec: NetworkSpec) -> Dataset:
        """Return the dataset of one trial."""
        return prepare(self.bars, spec, self.peers)


def lay_ground(order: TuningOrder, bars: RawBars) -> Ground:
    """Cut from ``bars`` what is known before the first test session of any spec that the search may end with.

    Raises:
        InvalidBars, NotEnoughHistory: the order cannot be filled; it is no use to try again.
        InvalidSpec: the bars have no such field, or ``train_end`` leaves nothing to test.
    """
    spec = trial_spec(order.widest)
    market = bars.audited_for(spec, start=order.order.data.start)
    history = market.within(order.order.data)
    dataset = prepare(history.bars, spec, market.peer_bars)
    first_test, evaluation = _first_test(order, bars)
    known = int(np.searchsorted(dataset.sessions, first_test, side="right"))
    train = range(dataset.first_origin, known - spec.reach)
    if len(train) < order.fewest_samples:
        detail = f"{len(train)} samples are left to search on, at least {order.fewest_samples} needed."
        raise NotEnoughHistory(detail, have=len(train), need=order.fewest_samples)
    kept = range(train.stop - int(len(train) * spec.validation_fraction), train.stop)
    said = ewma_t(dataset.targets, dataset.sigma, Fold(range(train.start, kept.start - spec.reach), kept))
    return Ground(
        bars=history.bars,
        peers=market.peer_bars,
        sessions=dataset.next_sessions[kept.start : kept.stop],
        first_test=first_test,
        train=train,
        kept=kept,
        baseline=_mean_crps(said, dataset, kept),
        evaluation=evaluation,
    )


def mean_crps(network: FittedNetwork, dataset: Dataset, kept: range) -> float:
    """Return the mean CRPS of what ``network`` says of the first target at ``kept``, in log returns.

    A point head is judged with the spread of what it has learnt from: that of newer rows would know the answers.
    """
    origins = np.arange(kept.start, kept.stop)
    said = _first_target(network, dataset, origins)
    if dataset.spec.head == "point":
        learnt = network.learnt
        residuals = dataset.targets[learnt] - _first_target(network, dataset, learnt).location
        scale, df = fit_spread(residuals, dataset.sigma[learnt])
        unit = step_scale(dataset.sigma[origins], dataset.spec.horizon)
        said = StudentT(said.location, scale * unit, np.broadcast_to(df, unit.shape))
    return _mean_crps(said, dataset, kept)


def _first_target(network: FittedNetwork, dataset: Dataset, origins: NDArray[np.intp]) -> Predictive:
    return network.predict(dataset, origins)[0]


def _mean_crps(said: Predictive, dataset: Dataset, kept: range) -> float:
    return float(np.mean(crps(said, dataset.targets[kept.start : kept.stop])))


def _first_test(order: TuningOrder, bars: RawBars) -> tuple[np.datetime64, Evaluation]:
    """Return the earliest session at which the evaluation of any spec of the space begins to forecast, and that one.

    A shorter window begins earlier and leaves more to test; other features may need other bars.
    """
    asked, begins = order.order.evaluation, []
    for features in order.feature_sets:
        spec = replace(order.widest, features=features)
        market = bars.audited_for(spec, start=order.order.data.start)
        dataset = prepare(market.within(order.order.data).bars, spec, market.peer_bars)
        for window in order.windows:
            first = dataset.first_origin - spec.window + window
            cut = split(asked, dataset.sessions, first_origin=first, horizon=spec.reach, samples=fewest_samples(spec))
            begins.append((dataset.sessions[cut.folds[0].test.start], _as_cut(asked, cut)))
    return min(begins, key=lambda begin: begin[0])


def _as_cut(evaluation: Evaluation, cut: Split) -> Evaluation:
    """Return the evaluation with the windows that it came to: more bars would otherwise make room for earlier ones."""
    if evaluation.kind == "fixed":
        return evaluation
    return replace(evaluation, n_windows=cut.protocol["n_windows"], step_size=cut.protocol["step_size"])
