"""From a dataset and the origins to learn from, to a fitted network with everything it needs to speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from app.dataset.prepare import Dataset
from app.dataset.scaling import Scaler, Scaling, fit_scaler
from app.dataset.targets import step_scale
from app.dataset.windows import Origins, network_inputs
from app.domain.history import to_date
from app.domain.order import learnt_of
from app.domain.spec import NetworkSpec
from app.domain.student_t import FEWEST_RESIDUALS
from app.errors import AppError, FitDiverged, NotEnoughHistory
from app.training.anchor import fit_anchor
from app.training.architectures import MeanForecast
from app.training.curves import Curves
from app.training.fitted import FittedNetwork, with_first_spreads
from app.training.fitting import Outcome, Task, learn_all
from app.training.learner import Learner, LearntNetwork
from app.training.report import PATHS, Report, Share, shares_of
from app.training.samples import Samples

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fit:
    """What a network is to be fitted on: the origins ``train`` of ``dataset``."""

    dataset: Dataset
    train: range


@dataclass(frozen=True, eq=False)
class FitAll:
    """All networks that one training asks for, of one dataset and by the same learners; ``report`` hears of these."""

    fits: Sequence[Fit]
    learners: list[Learner]
    report: Report

    @property
    def tasks(self) -> int:
        """How many networks that are."""
        return len(self.fits) * len(self.learners)


def make_learners(dataset: Dataset) -> list[Learner]:
    """Return a learner a member and seed of the dataset's spec; the fits of one job share them."""
    spec, columns = dataset.spec, dataset.features.shape[1]
    return [Learner(network, columns, seed=spec.seed + draw) for network in spec.networks for draw in range(spec.seeds)]


def final_fit(dataset: Dataset) -> Fit:
    """Return the fit of the network that is to be served: on every origin whose targets are known."""
    return Fit(dataset, range(dataset.first_origin, len(dataset) - dataset.spec.reach))


def fit_network(
    dataset: Dataset, train: range, learners: list[Learner], report: Report, *, at_once: int | None = None
) -> FittedNetwork:
    """Fit the network of ``dataset.spec`` on the origins ``train`` and nothing that comes after their targets.

    Raises:
        NotEnoughHistory, FitDiverged: as ``fit_networks``.
    """
    (fitted,) = fit_networks([Fit(dataset, train)], learners, report, at_once=at_once)
    return fitted


def fit_networks(
    fits: Sequence[Fit], learners: list[Learner], report: Report, *, at_once: int | None = None
) -> list[FittedNetwork]:
    """Fit a network a fit, all at once, each as if it were alone: it sees samples and scaling of its own fit only.

    Raises:
        NotEnoughHistory: nothing is left to learn from; bring ``need`` origins more.
        FitDiverged: the loss became NaN or infinite; lower the learning rate.
    """
    (results,) = try_networks([FitAll(fits, learners, report)], at_once=at_once)
    if isinstance(results, AppError):
        raise results
    return results


def try_networks(asked: Sequence[FitAll], *, at_once: int | None = None) -> list[list[FittedNetwork] | AppError]:
    """Fit all that is ``asked`` for at once; return the networks of each, or the error of ``fit_networks`` it met.

    The newest ``validation_fraction`` of a fit's origins is kept for early stopping, as far apart from the rest as the
    network reaches; scalers see only the rest. With several members or seeds a network is the mean of them, in the
    space in which they answer (``MeanForecast``). Networks of one shape learn side by side, whatever their tickers.
    """
    tasks: list[Task] = []
    places: list[list[tuple[_Ground, slice]] | AppError] = []
    for one in asked:
        try:
            grounds = [_lay_ground(fit) for fit in one.fits]
        except NotEnoughHistory as error:
            places.append(error)
            continue
        found, shares = [], shares_of(one.report, tasks=one.tasks)
        for ground in grounds:
            found.append((ground, slice(len(tasks), len(tasks) + len(one.learners))))
            tasks += ground.tasks(one.learners, [shares.pop(0) for _ in one.learners])
        places.append(found)
    outcomes = learn_all(tasks, at_once=at_once)
    for one in asked:
        if one.fits and one.fits[0].dataset.spec.strategy == "recursive":
            one.report(PATHS, 0.0)
    return [found if isinstance(found, AppError) else _all_fitted(found, outcomes) for found in places]


def _all_fitted(places: Sequence[tuple[_Ground, slice]], outcomes: Sequence[Outcome]) -> list[FittedNetwork] | AppError:
    """Return the network of each place, or the first error of any."""
    networks = []
    for ground, place in places:
        fitted = _fitted(ground, outcomes[place])
        if isinstance(fitted, FitDiverged):
            return fitted
        networks.append(fitted)
    return networks


def fit_learners(
    learners: list[Learner], samples: Samples, validation: Samples | None, report: Report, *, spec: NetworkSpec
) -> tuple[keras.Model | LearntNetwork, tuple[Curves, ...]]:
    """Fit every learner on ``samples``, from the best line of them, and return the network that is their mean.

    Raises:
        FitDiverged: the loss became NaN or infinite; lower the learning rate.
    """
    shares = shares_of(report, tasks=len(learners))
    outcome = _mean_outcome(learn_all(_tasks(learners, samples, validation, spec, shares)), spec)
    if isinstance(outcome, FitDiverged):
        raise outcome
    return outcome


def _tasks(
    learners: Sequence[Learner],
    samples: Samples,
    validation: Samples | None,
    spec: NetworkSpec,
    shares: Sequence[Share],
) -> list[Task]:
    anchor = fit_anchor(samples, spec)
    return [
        Task(learner=one, samples=samples, validation=validation, anchor=anchor, report=share)
        for one, share in zip(learners, shares, strict=True)
    ]


def _mean_outcome(
    outcomes: Sequence[Outcome], spec: NetworkSpec
) -> tuple[keras.Model | LearntNetwork, tuple[Curves, ...]] | FitDiverged:
    fits = []
    for one in outcomes:
        if isinstance(one, FitDiverged):
            return one
        fits.append(one)
    return _mean_of([network for network, _ in fits], spec), tuple(curves for _, curves in fits)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Ground:
    """What a fit stands on: the origins to learn from and to validate on, and the scaling of the former."""

    fit: Fit
    learnt: Origins
    kept: Origins
    scaling: Scaling

    def tasks(self, learners: Sequence[Learner], shares: Sequence[Share]) -> list[Task]:
        """Return what each learner has to learn, and the report of each."""
        dataset = self.fit.dataset
        samples = samples_of(dataset, self.learnt, self.scaling)
        validation = samples_of(dataset, self.kept, self.scaling) if len(self.kept) else None
        return _tasks(learners, samples, validation, dataset.spec, shares)


def _lay_ground(fit: Fit) -> _Ground:
    learnt, kept = _chronological(fit.train, fit.dataset.spec)
    return _Ground(fit=fit, learnt=learnt, kept=kept, scaling=_fit_scaling(fit.dataset, learnt))


def _fitted(ground: _Ground, outcomes: Sequence[Outcome]) -> FittedNetwork | FitDiverged:
    """Put the networks of one fit together, and measure their spreads."""
    dataset, train, kept = ground.fit.dataset, ground.fit.train, ground.kept
    outcome = _mean_outcome(outcomes, dataset.spec)
    if isinstance(outcome, FitDiverged):
        return outcome
    fitted = FittedNetwork(
        spec=dataset.spec,
        network=outcome[0],
        scaling=ground.scaling,
        curves=outcome[1],
        learnt=ground.learnt,
        known_through=to_date(dataset.sessions[train.stop - 1 + dataset.spec.reach]),
    )
    return with_first_spreads(
        fitted, dataset, kept if len(kept) >= FEWEST_RESIDUALS else np.append(ground.learnt, kept)
    )


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


def _mean_of(networks: list[keras.Model | LearntNetwork], spec: NetworkSpec) -> keras.Model | LearntNetwork:
    """One network that answers the mean of ``networks``."""
    if len(networks) == 1:
        return networks[0]
    models = [one.model if isinstance(one, LearntNetwork) else one for one in networks]
    window = keras.Input(models[0].input_shape[1:], name="window")
    for member, model in enumerate(models):
        model.name = f"member_{member}"
    said = [model(window) for model in models]
    return keras.Model(window, MeanForecast(name="forecast")(said), name=spec.architecture)
