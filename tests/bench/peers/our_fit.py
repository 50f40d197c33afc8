"""Morrow: the networks of a training, or of many, by the function that fits them all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app.domain.presets import preset_of
from app.domain.spec import NetworkSpec
from app.training.anchor import fit_anchor
from app.training.fitting import FitTask, Material, learn_all
from app.training.learner import Learner
from app.training.report import shares_of
from app.training.samples import Samples
from app.training.threads import use_threads
from tests.bench.peers.job import Job, compete, seconds_of


def main(job: Job) -> Callable[[], float]:
    """Return a round; an epoch is that of a network which is compiled already, many are compiled in the round."""
    use_threads(job.threads)
    if job.models > 1:
        spec = _spec_of("default", job, validation_fraction=0.0, early_stopping=None)
        return lambda: seconds_of(lambda: learn_all([_task(spec, job, model) for model in range(job.models)]))
    adam = {"name": "adam", "learning_rate": 0.001, "clip_norm": None}
    task = _task(_spec_of("ibm-lstm", job, architecture=job.network, dropout=0.0, optimizer=adam), job, 0)

    def epoch() -> float:
        # Up to the end of the epoch: what comes after it, once a fit, is building the network that is handed over.
        started, ended = time.perf_counter(), []
        (share,) = shares_of(lambda *_, **__: ended.append(time.perf_counter()), tasks=1)
        learn_all([replace(task, report=share)])
        return ended[-1] - started

    epoch()
    return epoch


def _spec_of(preset: str, job: Job, **changed: Any) -> NetworkSpec:
    sizes = {"units": list(job.units), "window": job.window, "batch_size": job.batch_size, "epochs": job.epochs}
    return NetworkSpec.from_dict({**preset_of(preset).spec, **sizes, **changed})


def _task(spec: NetworkSpec, job: Job, model: int) -> FitTask:
    inputs, targets = job.windows(model)
    samples = Samples(inputs, targets[:, :, None])
    learner = Learner(spec, job.columns, seed=model)
    (share,) = shares_of(_silent, tasks=1)
    material = Material(samples=samples, validation=None, anchor=fit_anchor(samples, spec))
    return FitTask(learner=learner, learns=len(samples), validates=0, gather=lambda: material, report=share)


def _silent(*_: object, **__: object) -> None:
    """Nobody listens."""


if __name__ == "__main__":
    compete(main)
