"""From a dataset and the origins to learn from, to a fitted network with everything it needs to speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.dataset.decoding import answers, locations
from app.dataset.prepare import Dataset
from app.dataset.recursion import foretell, simulate_spreads
from app.dataset.scaling import Scaler, Scaling, Spread, fit_scaler
from app.dataset.targets import step_scale
from app.dataset.windows import Origins, network_inputs
from app.domain.distribution import Predictive
from app.domain.history import to_date
from app.domain.order import learnt_of
from app.domain.spec import NetworkSpec
from app.domain.student_t import FEWEST_RESIDUALS, fit_spread
from app.errors import NotEnoughHistory
from app.training.anchor import fit_anchor
from app.training.architectures import MeanForecast
from app.training.learner import Curves, Learner
from app.training.report import PATHS, Report, part_of
from app.training.samples import Samples

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]

BATCH = 1024  # windows answered at a time


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedNetwork:
    """A network and what was fitted beside it; ``curves`` has one entry a member and seed.

    The fit has learnt from the origins ``learnt``, has seen the sessions up to ``known_through`` and nothing later.
    """

    spec: NetworkSpec
    model: keras.Model
    scaling: Scaling
    curves: tuple[Curves, ...]
    learnt: Origins
    known_through: date

    def outputs(self, windows: Numbers) -> Numbers:
        """Answer scaled ``windows`` ``(batch, window, columns)`` with ``(batch, reach x targets, params)``."""
        return _answers(self.model, windows)

    def predict(self, dataset: Dataset, origins: Origins, *, steps: int | None = None) -> tuple[Predictive, ...]:
        """Forecast from each of ``origins``, one distribution a target, ``(origins, horizon)``.

        What is fed back may end after ``steps``.
        """
        network = _compiled(self.model) if self.spec.strategy == "recursive" else self.outputs
        return foretell(network, dataset, origins, self.scaling, steps=steps)

    def seed_spread(self, dataset: Dataset, origins: Origins) -> float | None:
        """Return how far the averaged networks are apart, as a share of the volatility; ``None`` for one alone.

        Mean over ``origins`` of the standard deviation between networks, of the first step's 5, 50 or 95 % quantile,
        whichever differs most.
        """
        members = [layer for layer in self.model.layers if isinstance(layer, keras.Model)]
        if not members:
            return None
        said = [replace(self, model=member).predict(dataset, origins, steps=1)[0] for member in members]
        quantiles = np.stack([[one.quantile(p)[:, 0] for p in (0.05, 0.5, 0.95)] for one in said])
        usual = np.mean([one.volatility[:, 0] for one in said], axis=0)
        return float(np.mean(quantiles.std(axis=0).max(axis=0) / usual))


def make_learners(dataset: Dataset) -> list[Learner]:
    """Compile one network a member and seed of the dataset's spec; the fits of one job share them."""
    spec, columns = dataset.spec, dataset.features.shape[1]
    return [Learner(network, columns, seed=spec.seed + draw) for network in spec.networks for draw in range(spec.seeds)]


def fit_final(dataset: Dataset, learners: list[Learner], report: Report) -> FittedNetwork:
    """Fit the network that is to be served, on every origin whose targets are known.

    Raises:
        NotEnoughHistory, FitDiverged: as ``fit_network``.
    """
    return fit_network(dataset, range(dataset.first_origin, len(dataset) - dataset.spec.reach), learners, report)


def fit_network(dataset: Dataset, train: range, learners: list[Learner], report: Report) -> FittedNetwork:
    """Fit the network of ``dataset.spec`` on the origins ``train`` and nothing that comes after their targets.

    The newest ``validation_fraction`` of them is kept for early stopping, as far apart from the rest as the network
    reaches; scalers see only the rest. With several members or seeds the network is the mean of them, in the space in
    which they answer (``MeanForecast``).

    Raises:
        NotEnoughHistory: nothing is left to learn from; bring ``need`` origins more.
        FitDiverged: the loss became NaN or infinite; lower the learning rate.
    """
    spec = dataset.spec
    learnt, kept = _chronological(train, spec)
    scaling = _fit_scaling(dataset, learnt)
    samples, validation = (
        samples_of(dataset, learnt, scaling),
        samples_of(dataset, kept, scaling) if len(kept) else None,
    )
    model, curves = fit_learners(learners, samples, validation, report, spec=spec)
    if spec.strategy == "recursive":
        report(PATHS, 0.0)
    fitted = FittedNetwork(
        spec=spec,
        model=model,
        scaling=scaling,
        curves=curves,
        learnt=learnt,
        known_through=to_date(dataset.sessions[train.stop - 1 + spec.reach]),
    )
    return _with_first_spreads(fitted, dataset, kept if len(kept) >= FEWEST_RESIDUALS else np.append(learnt, kept))


def fit_learners(
    learners: list[Learner], samples: Samples, validation: Samples | None, report: Report, *, spec: NetworkSpec
) -> tuple[keras.Model, tuple[Curves, ...]]:
    """Fit every learner on ``samples``, from the best line of them, and return the network that is their mean.

    Raises:
        FitDiverged: the loss became NaN or infinite; lower the learning rate.
    """
    parts = [part_of(report, "fit", part=part, parts=len(learners)) for part in range(len(learners))]
    anchor = fit_anchor(samples, spec)
    fits = [
        learner.learn(samples, validation, told, anchor=anchor) for learner, told in zip(learners, parts, strict=True)
    ]
    return _mean_of([network for network, _ in fits], spec), tuple(curves for _, curves in fits)


def samples_of(dataset: Dataset, origins: Origins, scaling: Scaling) -> Samples:
    """Pair the windows at ``origins`` with what a perfect network would answer, target after target."""
    spec = dataset.spec
    inputs = network_inputs(dataset.features, origins, scaler=scaling.features, spec=spec)
    came = np.stack([series.targets[origins, : spec.reach] for series in dataset.series], axis=-1)
    if scaling.target is None:
        units = [step_scale(series.sigma[origins], spec.reach) for series in dataset.series]
        perfect = came / np.stack(units, axis=-1)
    else:
        values = np.stack([series.values[origins] for series in dataset.series], axis=-1)
        perfect = scaling.target.transform(values[:, None] * np.exp(came))
    in_order = perfect.swapaxes(1, 2).reshape(len(origins), -1, 1)
    return Samples(inputs, in_order.astype(np.float32))


def with_spreads(
    network: FittedNetwork, dataset: Dataset, origins: Origins, residuals: Sequence[Floats]
) -> FittedNetwork:
    """Give the network the spreads that it does not answer itself.

    A point head takes them from its ``residuals`` at ``origins``, ``(origins, steps)`` in log returns, one array a
    target; of what is fed back only those of the first step count, and paths with such surprises tell the rest.
    A distribution head needs no ``residuals``.
    """
    spec = network.spec
    if spec.head == "point":
        spreads = tuple(
            Spread(*fit_spread(residual[:, : spec.reach], series.sigma[origins]))
            for residual, series in zip(residuals, dataset.series, strict=True)
        )
    elif spec.strategy == "recursive":
        spreads = _own_spreads(network, dataset, origins)
    else:
        return network
    if spec.strategy == "recursive":
        paths = _compiled(network.model)
        spreads = simulate_spreads(paths, dataset, origins, network.scaling, one_step=spreads, seed=spec.seed)
    return replace(network, scaling=replace(network.scaling, spreads=spreads))


def _own_spreads(network: FittedNetwork, dataset: Dataset, origins: Origins) -> tuple[Spread, ...]:
    """The surprises that a distribution head expects, in units of the scale that it answers."""
    said = answers(network.outputs, dataset, origins[-1:], network.scaling)
    return tuple(Spread(np.ones(1), one[0, :1, 2]) for one in said)


def _with_first_spreads(fitted: FittedNetwork, dataset: Dataset, origins: Origins) -> FittedNetwork:
    """Measure how far the network is off at ``origins``, which it did not learn from where there are enough such."""
    if fitted.spec.head != "point":
        return with_spreads(fitted, dataset, origins, ())
    named = locations(answers(fitted.outputs, dataset, origins, fitted.scaling), dataset, origins, fitted.scaling)
    reach = fitted.spec.reach
    residuals = [s.targets[origins, :reach] - said for s, said in zip(dataset.series, named, strict=True)]
    return with_spreads(fitted, dataset, origins, residuals)


def _chronological(train: range, spec: NetworkSpec) -> tuple[Origins, Origins]:
    """Part ``train`` into origins to learn from and newer ones to validate on; they share no target."""
    kept, learnt = int(len(train) * spec.validation_fraction), learnt_of(len(train), spec)
    if learnt < 1:
        raise NotEnoughHistory("Nothing is left to learn from.", have=len(train), need=len(train) + 1 - learnt)
    return np.arange(train.start, train.start + learnt), np.arange(train.stop - kept, train.stop)


def _fit_scaling(dataset: Dataset, learnt: Origins) -> Scaling:
    """Fit the scalers on the rows that the windows of ``learnt`` hold, and not on one later."""
    rows = slice(learnt[0] - dataset.spec.window + 1, learnt[-1] + 1)
    target: Scaler | None = None
    if dataset.spec.target.transform == "price":
        values = np.stack([series.values[rows] for series in dataset.series], axis=1)
        target = fit_scaler(dataset.spec.scaler, values)
    return Scaling(features=fit_scaler(dataset.spec.scaler, dataset.features[rows]), target=target)


def _mean_of(networks: list[keras.Model], spec: NetworkSpec) -> keras.Model:
    """One network that answers the mean of ``networks``."""
    if len(networks) == 1:
        return networks[0]
    window = keras.Input(networks[0].input_shape[1:], name="window")
    for member, network in enumerate(networks):
        network.name = f"member_{member}"
    said = [network(window) for network in networks]
    return keras.Model(window, MeanForecast(name="forecast")(said), name=spec.architecture)


def _answers(model: keras.Model, windows: Numbers) -> Numbers:
    # Calling the model needs no tracing; predict() would trace every network anew.
    parts = [model(windows[start : start + BATCH], training=False) for start in range(0, len(windows), BATCH)]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])


def _compiled(model: keras.Model) -> Any:
    """Trace the model once for any number of windows: what is fed back asks it hundreds of times."""
    shape = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    traced = tf.function(lambda windows: model(windows, training=False), input_signature=[shape])
    return lambda windows: np.asarray(traced(windows), dtype=np.float32)
