"""From a dataset and the origins to learn from, to a fitted network with everything it needs to speak."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import TypeVar

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
from app.errors import NotEnoughHistory
from app.training.anchor import Anchor, fit_anchor
from app.training.architectures import MeanForecast
from app.training.curves import Curves
from app.training.failures import without_frames
from app.training.fitted import FittedNetwork, with_first_spreads
from app.training.fitting import FitResult, FitTask, Material, learn_all
from app.training.learner import Learner, LearntNetwork
from app.training.report import PATHS, Report, Share, shares_of
from app.training.samples import Samples

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]
Result = TypeVar("Result")


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
    if isinstance(results, Exception):
        raise results
    return results


def try_networks(asked: Sequence[FitAll], *, at_once: int | None = None) -> list[list[FittedNetwork] | Exception]:
    """Fit all that is ``asked`` for at once; return the networks of each, or the error that it met.

    The newest ``validation_fraction`` of a fit's origins is kept for early stopping, as far apart from the rest as the
    network reaches; scalers see only the rest. With several members or seeds a network is the mean of them, in the
    space in which they answer (``MeanForecast``). Networks of one shape learn side by side, whatever their tickers.
    What goes wrong before or after the fits of one ends it alone; what goes wrong within them, and what a report
    raises, ends all.
    """
    laid = [_or_error(partial(_lay_grounds, one)) for one in asked]
    tasks = [
        task
        for one, grounds in zip(asked, laid, strict=True)
        if not isinstance(grounds, Exception)
        for task in _tasks_of(one, grounds)
    ]
    results = iter(learn_all(tasks, at_once=at_once))
    for one in asked:
        if one.fits and one.fits[0].dataset.spec.strategy == "recursive":
            one.report(PATHS, 0.0)
    return [
        grounds
        if isinstance(grounds, Exception)
        else _or_error(partial(_all_fitted, grounds, results, each=len(one.learners)))
        for one, grounds in zip(asked, laid, strict=True)
    ]


def _or_error(step: Callable[[], Result]) -> Result | Exception:
    """Return what came of a step that is of one training alone."""
    try:
        return step()
    except Exception as error:
        return without_frames(error)


def _lay_grounds(asked: FitAll) -> list[_Ground]:
    return [_lay_ground(fit) for fit in asked.fits]


def _tasks_of(asked: FitAll, grounds: Sequence[_Ground]) -> list[FitTask]:
    shares = iter(shares_of(asked.report, tasks=asked.tasks))
    return [ground.task(learner, next(shares)) for ground in grounds for learner in asked.learners]


def _all_fitted(grounds: Sequence[_Ground], results: Iterator[FitResult], *, each: int) -> list[FittedNetwork]:
    """Return the network of each ground, put together of ``each`` of the results; or raise the first error of any."""
    own = [list(islice(results, each)) for _ in grounds]
    return [_fitted(ground, some) for ground, some in zip(grounds, own, strict=True)]


def fit_learners(
    learners: list[Learner], samples: Samples, validation: Samples | None, report: Report, *, spec: NetworkSpec
) -> tuple[keras.Model | LearntNetwork, tuple[Curves, ...]]:
    """Fit every learner on ``samples``, from the best line of them, and return the network that is their mean.

    Raises:
        FitDiverged: the loss became NaN or infinite; lower the learning rate.
    """
    material = Material(samples=samples, validation=validation, anchor=fit_anchor(samples, spec))
    tasks = [
        FitTask(
            learner=one, learns=len(samples), validates=len(validation or ()), gather=lambda: material, report=share
        )
        for one, share in zip(learners, shares_of(report, tasks=len(learners)), strict=True)
    ]
    return _mean_result(learn_all(tasks), spec)


def _mean_result(
    results: Sequence[FitResult], spec: NetworkSpec
) -> tuple[keras.Model | LearntNetwork, tuple[Curves, ...]]:
    """Return the mean network and the curves of all; or raise what kept one of them from being fitted."""
    fits = []
    for one in results:
        if isinstance(one, Exception):
            raise one
        fits.append(one)
    return _mean_of([network for network, _ in fits], spec), tuple(curves for _, curves in fits)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Ground:
    """What a fit stands on: the origins to learn from and to validate on, and the scaling of the former."""

    fit: Fit
    learnt: Origins
    kept: Origins
    scaling: Scaling

    def task(self, learner: Learner, share: Share) -> FitTask:
        """Return what a learner has to learn, and its report."""
        return FitTask(
            learner=learner, learns=len(self.learnt), validates=len(self.kept), gather=self._gather, report=share
        )

    def _gather(self) -> Material:
        anchor = self._anchor  # first: the samples that it is fitted on are gone before there are others
        validation = self._samples(self.kept) if len(self.kept) else None
        return Material(samples=self._samples(self.learnt), validation=validation, anchor=anchor)

    @cached_property
    def _anchor(self) -> Anchor | None:
        # Kept, unlike samples: all learners start from the same, it is small, and takes a hundred times as long.
        return fit_anchor(self._samples(self.learnt), self.fit.dataset.spec)

    def _samples(self, origins: Origins) -> Samples:
        return samples_of(self.fit.dataset, origins, self.scaling)


def _lay_ground(fit: Fit) -> _Ground:
    learnt, kept = _chronological(fit.train, fit.dataset.spec)
    return _Ground(fit=fit, learnt=learnt, kept=kept, scaling=_fit_scaling(fit.dataset, learnt))


def _fitted(ground: _Ground, results: Sequence[FitResult]) -> FittedNetwork:
    """Put the networks of one fit together, and measure their spreads."""
    dataset, train, kept = ground.fit.dataset, ground.fit.train, ground.kept
    network, curves = _mean_result(results, dataset.spec)
    fitted = FittedNetwork(
        spec=dataset.spec,
        network=network,
        scaling=ground.scaling,
        curves=curves,
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
