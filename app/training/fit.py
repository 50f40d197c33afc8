"""From a dataset and the origins to learn from, to a fitted network with everything it needs to speak."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from app.dataset.decoding import decode, point_location
from app.dataset.prepare import Dataset
from app.dataset.scaling import Scaler, Scaling, Spread, fit_scaler
from app.dataset.targets import step_scale
from app.dataset.windows import Origins, network_inputs
from app.domain.distribution import Predictive
from app.domain.spec import NetworkSpec
from app.domain.student_t import fit_spread
from app.errors import NotEnoughHistory
from app.training.learner import Curves, Learner, Report, Samples, part_of

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]

BATCH = 1024  # windows answered at a time


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedNetwork:
    """A network and what was fitted beside it; ``curves`` are those of its first seed.

    The fit has seen the oldest ``known_bars`` bars and nothing after them.
    """

    spec: NetworkSpec
    model: keras.Model
    scaling: Scaling
    curves: Curves
    known_bars: int

    def outputs(self, windows: Numbers) -> Numbers:
        """Answer scaled ``windows`` ``(batch, window, columns)`` with ``(batch, horizon, params)``."""
        return _answers(self.model, windows)

    def predict(self, dataset: Dataset, origins: Origins) -> Predictive:
        """Forecast from each of ``origins``, ``(origins, horizon)``."""
        windows = network_inputs(dataset.features, origins, scaler=self.scaling.features, spec=self.spec)
        return decode(self.outputs(windows), dataset, origins, self.scaling)


def make_learners(dataset: Dataset) -> list[Learner]:
    """Compile one network a seed of the dataset's spec; the fits of one job share them."""
    spec = dataset.spec
    return [Learner(spec, dataset.features.shape[1], seed=spec.seed + member) for member in range(spec.seeds)]


def fit_final(dataset: Dataset, learners: list[Learner], report: Report) -> FittedNetwork:
    """Fit the network that is to be served, on every origin whose targets are known.

    Raises:
        NotEnoughHistory, FitDiverged: as ``fit_network``.
    """
    return fit_network(dataset, range(dataset.first_origin, len(dataset) - dataset.spec.horizon), learners, report)


def fit_network(dataset: Dataset, train: range, learners: list[Learner], report: Report) -> FittedNetwork:
    """Fit the network of ``dataset.spec`` on the origins ``train`` and nothing that comes after their targets.

    The newest ``validation_fraction`` of them is kept for early stopping, ``horizon`` origins apart from the rest;
    scalers see only the rest. With several seeds the network is the mean of its members.

    Raises:
        NotEnoughHistory: nothing is left to learn from; bring ``need`` origins more.
        FitDiverged: the loss became NaN or infinite; lower the learning rate.
    """
    spec = dataset.spec
    learnt, kept = _chronological(train, spec)
    scaling = _fit_scaling(dataset, learnt)
    samples, validation = _samples(dataset, learnt, scaling), _samples(dataset, kept, scaling) if len(kept) else None
    parts = [part_of(report, "fit", part=part, parts=len(learners)) for part in range(len(learners))]
    fits = [learner.learn(samples, validation, told) for learner, told in zip(learners, parts, strict=True)]
    known = train.stop + spec.horizon
    model = _mean_of([network for network, _ in fits], spec)
    fitted = FittedNetwork(spec=spec, model=model, scaling=scaling, curves=fits[0][1], known_bars=known)
    return fitted if spec.head == "student_t" else _with_spread(fitted, dataset, kept if len(kept) else learnt)


def with_spread_of(network: FittedNetwork, residuals: Floats, sigma: Floats) -> FittedNetwork:
    """Give a point head the spread of its out-of-sample ``residuals`` ``(origins, horizon)``, in log returns.

    ``sigma`` ``(origins,)`` is the volatility known at each origin. A distribution head keeps its own.
    """
    if network.spec.head == "student_t":
        return network
    scale, df = fit_spread(residuals, sigma)
    return replace(network, scaling=replace(network.scaling, spread=Spread(scale, df)))


def _chronological(train: range, spec: NetworkSpec) -> tuple[Origins, Origins]:
    """Part ``train`` into origins to learn from and newer ones to validate on; they share no target."""
    kept = int(len(train) * spec.validation_fraction)
    learnt = len(train) - kept - (spec.horizon if kept else 0)
    if learnt < 1:
        raise NotEnoughHistory("Nothing is left to learn from.", have=len(train), need=len(train) + 1 - learnt)
    return np.arange(train.start, train.start + learnt), np.arange(train.stop - kept, train.stop)


def _fit_scaling(dataset: Dataset, learnt: Origins) -> Scaling:
    """Fit the scalers on the rows that the windows of ``learnt`` hold, and not on one later."""
    rows = slice(learnt[0] - dataset.spec.window + 1, learnt[-1] + 1)
    target: Scaler | None = None
    if dataset.spec.target.transform == "price":
        target = fit_scaler(dataset.spec.scaler, dataset.values[rows, None])
    return Scaling(features=fit_scaler(dataset.spec.scaler, dataset.features[rows]), target=target)


def _samples(dataset: Dataset, origins: Origins, scaling: Scaling) -> Samples:
    """Pair the windows at ``origins`` with what a perfect network would answer."""
    spec = dataset.spec
    inputs = network_inputs(dataset.features, origins, scaler=scaling.features, spec=spec)
    came = dataset.targets[origins]
    if scaling.target is None:
        answers = came / step_scale(dataset.sigma[origins], spec.horizon)
    else:
        answers = scaling.target.transform(dataset.values[origins, None] * np.exp(came))
    return Samples(inputs, answers[..., None].astype(np.float32))


def _mean_of(networks: list[keras.Model], spec: NetworkSpec) -> keras.Model:
    """One network that answers the mean of ``networks``."""
    if len(networks) == 1:
        return networks[0]
    window = keras.Input(networks[0].input_shape[1:], name="window")
    for member, network in enumerate(networks):
        network.name = f"member_{member}"
    answers = [network(window) for network in networks]
    return keras.Model(window, keras.layers.Average(name="forecast")(answers), name=spec.architecture)


def _with_spread(fitted: FittedNetwork, dataset: Dataset, origins: Origins) -> FittedNetwork:
    """Measure how far a point head is off at ``origins``, which it did not learn from where there are such."""
    windows = network_inputs(dataset.features, origins, scaler=fitted.scaling.features, spec=fitted.spec)
    said = point_location(fitted.outputs(windows), dataset, origins, fitted.scaling)
    return with_spread_of(fitted, dataset.targets[origins] - said, dataset.sigma[origins])


def _answers(model: keras.Model, windows: Numbers) -> Numbers:
    # Calling the model needs no tracing; predict() would trace every network anew.
    parts = [model(windows[start : start + BATCH], training=False) for start in range(0, len(windows), BATCH)]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])
