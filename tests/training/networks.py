"""Small specs and the samples to fit them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.dataset.prepare import Dataset, prepare
from app.dataset.scaling import Scaling, fit_scaler
from app.domain.history import to_date
from app.domain.spec import NetworkSpec
from app.training.fit import final_fit, fit_network
from app.training.fitted import FittedNetwork
from app.training.learner import Learner
from app.training.report import Report
from app.training.samples import Samples
from tests.dataset.series import made_up_bars

BARS = made_up_bars(420)


def small_spec(**changes: Any) -> NetworkSpec:
    """A network that fits in a second."""
    return NetworkSpec(**{"window": 12, "units": (4,), "epochs": 2, "batch_size": 64, **changes})


def small_dataset(*, spec: NetworkSpec | None = None, **changes: Any) -> Dataset:
    return prepare(BARS, spec or small_spec(**changes))


def ignore(stage: str, fraction: float, /, **numbers: float) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True, eq=False)
class ToySamples(Samples):
    """Samples of which is known what a good network answers, ``(samples, targets x reach)``."""

    truth: np.ndarray


def toy_samples(dataset: Dataset, *, seed: int, count: int = 320) -> ToySamples:
    """A level shared by all bars but the newest names the targets, or their spread; of the second its opposite."""
    spec, random = dataset.spec, np.random.default_rng(seed)
    level = random.standard_normal(count)
    inputs = level[:, None, None] + 0.3 * random.standard_normal((count, spec.window, dataset.features.shape[1]))
    inputs[:, -1, :] = 0.0
    signs = np.repeat([1.0, -1.0][: len(spec.targets)], spec.reach)
    truth = level[:, None] * signs
    targets = truth if spec.head == "point" else np.exp(truth) * random.standard_normal(truth.shape)
    return ToySamples(inputs.astype(np.float32), targets[..., None].astype(np.float32), truth)


def fit_final(dataset: Dataset, learners: list[Learner], report: Report = ignore) -> FittedNetwork:
    """The network that a training would serve."""
    return fit_network(dataset, final_fit(dataset).train, learners, report)


def taught(dataset: Dataset, samples: Samples) -> FittedNetwork:
    """The network of the dataset's spec, fitted on other samples than the dataset's."""
    model, curves = Learner(dataset.spec, dataset.features.shape[1], seed=7).learn(samples, None, ignore)
    return FittedNetwork(
        spec=dataset.spec,
        network=model,
        scaling=Scaling(features=fit_scaler(dataset.spec.scaler, dataset.features[dataset.first_origin :])),
        curves=(curves,),
        learnt=np.arange(0),
        known_through=to_date(dataset.sessions[-1]),
    )
